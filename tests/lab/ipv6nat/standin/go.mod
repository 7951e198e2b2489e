module wanbound/tests/lab/ipv6nat/standin

go 1.24
