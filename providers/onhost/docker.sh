# --- whether Docker runs ---------------------------------------------------------------------------

docker_pid=/run/docker.pid

docker_main() { # the process of dockerd, nothing where it does not run
    main=
    if [ -d /run/systemd/system ]; then
        main=$(systemctl show --value -p MainPID docker.service 2>/dev/null)
    fi
    case $main in '' | 0) main=$(cat "$docker_pid" 2>/dev/null) ;; esac
    # After a crash the file has a process id that another program may have by now.
    case $(cat "/proc/${main:-none}/comm" 2>/dev/null) in *dockerd*) echo "$main" ;; esac
}
