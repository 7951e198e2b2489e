module wanbound/lab/images/probe

go 1.24
