@onhost/common.sh@

self=/usr/local/sbin/wanbound
units=/etc/systemd/system
newline='
'
tab=$(printf '\t')

@onhost/lock.sh@
@onhost/live.sh@
@onhost/load.sh@
@onhost/keep.sh@
@onhost/flows.sh@
@onhost/duplicate.sh@
@onhost/host.sh@
@onhost/units.sh@
@onhost/undo.sh@
@onhost/docker.sh@
@onhost/repair.sh@
@onhost/status.sh@
