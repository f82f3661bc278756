# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# The environment that Aliquot is built and tested in: Debian 13 or newer.
#
# On such a system its own packages are used. Elsewhere (Debian 12) a Debian 13 root is made once
# with mmdebstrap, in a cache folder outside the checkout, and entered with bubblewrap. The root is
# read-only once made, named by what it is made from, and shared by all checkouts.
#
# Sourced by ./run. Needs: checkout (absolute path). Gives: env_prepare, env_enter CMD…

env_dir=$checkout/tools/env
env_cache=${ALIQUOT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aliquot}
env_recipe=2 # raise to make new roots although the package list is the same
env_log=

env_say() {
    printf '[%s] %s\n' "$(date +%H:%M:%S)" "$*" >&2
}

env_die() {
    printf 'run: %s\n' "$*" >&2
    exit 1
}

# "system" where the system's own packages do, else "root". ALIQUOT_ENV overrides.
env_kind() {
    if [ -n "${ALIQUOT_ENV:-}" ]; then
        echo "$ALIQUOT_ENV"
        return
    fi
    local id version
    id=$(. /etc/os-release && echo "${ID:-}")
    version=$(. /etc/os-release && echo "${VERSION_ID:-99}") # testing and sid have none
    if [ "$id" = debian ] && [ "${version%%.*}" -ge 13 ] 2>/dev/null; then
        echo system
    else
        echo root
    fi
}

env_packages() {
    sed 's/#.*//' "$env_dir/packages" | xargs -n1
}

env_key() {
    {
        echo "$env_recipe $(dpkg --print-architecture)"
        cat "$env_dir/packages" "$env_dir/preferences" "$env_dir/guest-kernel"
    } | sha256sum | cut -c1-12
}

# Runs a command with its output in the log named $1. Says every few seconds what it is at (the last
# line of the log that starts with "I:" or "Get:" …), and on failure shows the end of the log.
env_step() {
    local log=$1 what=$2 start=$SECONDS pid last=
    shift 2
    mkdir -p "$(dirname "$log")"
    env_say "$what (log: $log)"
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    # Whatever ends this script ends the step too: nobody may find it at work without the lock.
    trap 'kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null' EXIT
    while kill -0 "$pid" 2>/dev/null; do
        sleep 1
        if [ $(((SECONDS - start) % 5)) = 0 ] && kill -0 "$pid" 2>/dev/null; then
            last=$(grep -aE '^(I: |Get:|Unpacking |Setting up )' "$log" | tail -n1 | cut -c1-90 || true)
            env_say "  $((SECONDS - start)) s  ${last#I: }"
        fi
    done
    local failed=0
    wait "$pid" || failed=1
    trap - EXIT
    if [ "$failed" = 1 ]; then
        tail -n 20 "$log" >&2
        env_die "failed: $what; the whole log is $log"
    fi
    env_say "$what: done in $((SECONDS - start)) s"
}

# Installs what is missing of the named packages on this system.
env_install() {
    local missing=() p
    for p in "$@"; do
        dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
    done
    [ ${#missing[@]} = 0 ] && return
    if [ "$(id -u)" != 0 ]; then
        env_die "missing packages; as root: apt-get install --no-install-recommends ${missing[*]}"
    fi
    env_step "$env_cache/log/apt-update.log" 'apt-get update' apt-get update
    DEBIAN_FRONTEND=noninteractive env_step "$env_cache/log/apt-install.log" \
        "apt-get install ${#missing[@]} packages" \
        apt-get install -y --no-install-recommends "${missing[@]}"
}

# The archive this machine uses itself, from its own apt configuration.
env_mirror() {
    local format='$(REPO_URI) $(LABEL) $(COMPONENT)'
    apt-get indextargets --format "$format" 'Created-By: Packages' |
        awk '$2 == "Debian" && $3 == "main" { print $1; exit }'
}

# Settings of this machine's apt that reach the archive: proxies, and how old an index may be.
env_apt_options() {
    apt-config dump | grep -E '^Acquire::(http|https)::Proxy|^Acquire::Check-' || true
}

env_make_root() {
    local root=$1 part=$1.part mirror
    rm -rf --one-file-system "$part"
    mirror=$(env_mirror)
    if [ -z "$mirror" ]; then
        apt-get update -qq || env_die 'apt-get update failed: see /etc/apt/sources.list*'
        mirror=$(env_mirror)
    fi
    [ -n "$mirror" ] || env_die 'no Debian archive in the apt configuration of this machine'
    local options=() line
    while read -r line; do
        [ -n "$line" ] && options+=("--aptopt=$line")
    done < <(env_apt_options)
    env_step "$env_cache/log/$(basename "$root").log" \
        'making the Debian 13 root, once: 1–2 minutes' \
        mmdebstrap --verbose --variant=minbase "${options[@]}" \
        --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/lib/*/piglit/generated_tests/*' \
        --setup-hook="install -D -m644 '$env_dir/preferences' \"\$1/etc/apt/preferences.d/aliquot\"" \
        --include="$(env_packages | paste -sd,)" \
        --customize-hook="install -m755 '$env_dir/guest-kernel' \"\$1/tmp/guest-kernel\"" \
        --customize-hook='chroot "$1" /tmp/guest-kernel /usr/lib/aliquot/guest-kernel' \
        --customize-hook='rm "$1/tmp/guest-kernel"' \
        trixie "$part" \
        "deb $mirror trixie main" "deb $mirror trixie-updates main" \
        "deb $mirror trixie-backports main"
    mv -T "$part" "$root" # atomic: a root that has its name is whole
}

# Under a lock: two checkouts may come at once, and what is half-made is nobody's.
env_locked() {
    mkdir -p "$env_cache"
    exec 9>"$env_cache/lock"
    if ! flock -n 9; then
        env_say "another ./run is setting up in $env_cache; waiting for it"
        flock 9
    fi
    "$@" 9>&-
    exec 9>&-
}

env_prepare_root() {
    env_root=$env_cache/root-$(env_key)
    [ -d "$env_root" ] && return
    env_locked env_prepare_root_locked
}
env_prepare_root_locked() {
    [ -d "$env_root" ] && return
    env_install mmdebstrap bubblewrap ca-certificates
    env_make_root "$env_root"
}

env_prepare_system() {
    env_kernel=$env_cache/guest-kernel-$(env_key)
    [ -e "$env_kernel/.complete" ] && return
    env_locked env_prepare_system_locked
}
env_prepare_system_locked() {
    local packages
    mapfile -t packages < <(env_packages)
    env_install "${packages[@]}"
    env_check_version qemu-system-x86 1:11.1
    env_check_version libgl1-mesa-dri 26
    rm -rf "$env_kernel.part"
    env_step "$env_cache/log/guest-kernel.log" 'fetching the guests'"'"' kernel' \
        "$env_dir/guest-kernel" "$env_kernel.part"
    touch "$env_kernel.part/.complete"
    rm -rf "$env_kernel" && mv -T "$env_kernel.part" "$env_kernel"
}
env_check_version() {
    local have
    have=$(dpkg-query -W -f '${Version}' "$1")
    dpkg --compare-versions "$have" ge "$2" && return
    # Not done unasked: it changes the graphics drivers or the VMs of this machine.
    env_die "$1 is $have here, at least $2 is needed. As root: apt-get install -t trixie-backports" \
        "qemu-system-x86 libgl1-mesa-dri libegl-mesa0 libglx-mesa0 libgbm1 mesa-vulkan-drivers" \
        "(with trixie-backports in /etc/apt/sources.list.d), or ALIQUOT_ENV=root ./run …"
}

# Makes ready whatever this machine needs; quick when it is.
env_prepare() {
    env_kind=$(env_kind)
    case $env_kind in
    root) env_prepare_root ;;
    system) env_prepare_system ;;
    *) env_die "ALIQUOT_ENV is '$env_kind'; it can be root or system" ;;
    esac
    mkdir -p "$env_cache/home"
}

# The current folder, or the checkout where the current folder is not to be had inside.
env_chdir() {
    case $PWD/ in
    /usr/* | /etc/* | /var/* | /proc/* | /sys/* | /run/*) echo "$checkout" ;;
    *) echo "$PWD" ;;
    esac
}

# Adds the folders above $1 to args, open to all users as they mostly are outside: bubblewrap would
# make them for root alone. What lies under a folder of the root or of /tmp exists.
env_parents() {
    local parent
    parent=$(dirname "$1")
    case $parent in
    / | /tmp | /tmp/* | /root | /root/*) return ;;
    esac
    env_parents "$parent"
    args+=(--dir "$parent")
}

# Replaces this process by CMD… in the environment, in the current folder. Folders in env_bind are
# reachable there besides the checkout, the cache, the current folder and /tmp.
env_bind=()
env_enter() {
    export ALIQUOT_CACHE=$env_cache
    if [ "$env_kind" = system ]; then
        export ALIQUOT_GUEST_KERNEL=$env_kernel
        exec "$@"
    fi
    local args=(--tmpfs /) d
    for d in usr etc var; do
        args+=(--ro-bind "$env_root/$d" "/$d")
    done
    for d in bin sbin lib lib64; do
        [ -L "$env_root/$d" ] && args+=(--symlink "usr/$d" "/$d")
    done
    args+=(--dev-bind /dev /dev --proc /proc --ro-bind /sys /sys --tmpfs /run --tmpfs /var/tmp
        --bind /tmp /tmp --tmpfs /root)
    for d in "$checkout" "$env_cache" "$PWD" "${env_bind[@]}"; do
        # Not over the root's own folders: there, / and /usr are the environment's.
        case $d in
        / | /usr | /usr/* | /etc | /etc/* | /var | /var/* | /bin | /sbin | /lib* | /proc* | /sys* | \
            /dev* | /run | /run/*) continue ;;
        esac
        env_parents "$d"
        args+=(--bind "$d" "$d")
    done
    # Where aliquotd may make control groups for its renderers, if we may.
    d=/sys/fs/cgroup/cpu
    [ -w "$d/cgroup.procs" ] && args+=(--bind "$d" "$d")
    # A pid namespace: whatever a test leaves behind ends with it.
    args+=(--unshare-pid --die-with-parent
        --setenv HOME "$env_cache/home" --setenv PATH /usr/sbin:/usr/bin:/sbin:/bin
        --setenv ALIQUOT_GUEST_KERNEL /usr/lib/aliquot/guest-kernel
        --setenv LC_ALL C.UTF-8 --unsetenv XDG_RUNTIME_DIR --unsetenv PYTHONHOME)
    exec bwrap "${args[@]}" -- env --chdir="$(env_chdir)" "$@"
}
