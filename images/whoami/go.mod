module wanbound/images/whoami

go 1.24
