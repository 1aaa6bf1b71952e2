#!/bin/sh
# What follows the image's name: nothing or flags (`--appendonly yes`), a configuration file (`/etc/redis.conf`), a
# command of swytch (`swytch check-rdb FILE`), or any other program.
set -e

case "$1" in
    '') set -- swytch redis ;;
    -* | *.conf) set -- swytch redis "$@" ;;
    swytch | redis-server)
        shift
        case "$1" in
            redis | check-rdb | check-aof | manual | completions | version | help) set -- swytch "$@" ;;
            *) set -- swytch redis "$@" ;;
        esac
        ;;
esac

if [ "$1 $2" = 'swytch redis' ]; then
    # Whom the container answers is decided by the ports that are published. What is given behind counts.
    shift 2
    case "$1" in
        -h | --help | -v | --version) set -- swytch redis "$@" ;;
        '' | -*) set -- swytch redis --protected-mode no "$@" ;;
        *)
            file=$1
            shift
            set -- swytch redis "$file" --protected-mode no "$@"
            ;;
    esac
fi
exec "$@"
