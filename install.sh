#!/usr/bin/env bash
# Sets up Nexus Ops on the machine it runs on, from the checkout it stands in. `./install.sh --help` tells the rest.
# Runs with bash 3.2 too, which is what macOS has.
set -euo pipefail
umask 022

readonly EXIT_FAILED=1 EXIT_USAGE=2 EXIT_INTERRUPTED=130
readonly SUPPORTED_NODES="Debian 12 and 13, Ubuntu 22.04 and 24.04"
# What `nexus-ops sandbox` and `nexus-ops demo` need besides the manager's packages; crun or runc: the sandbox chooses.
readonly SANDBOX_PACKAGES="podman runc netavark aardvark-dns iptables mmdebstrap debian-archive-keyring nftables iproute2"

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
role="" assume_yes=no action=install
system="" system_name="" # uname's name; what the person calls it, such as "Debian 12"
prefix="" bin_folder=""  # where the venv and the `nexus-ops` link go
python="" building="" log=""
left_out=""

usage() {
    cat <<EOF
usage: ./install.sh [--role manager|worker] [--yes]    set up this machine; asks when it has a terminal
       ./install.sh --demo                             set up a manager and show a whole cluster on this machine
       ./install.sh --uninstall                        remove what this script put here

  --role manager   install the manager: system packages, the nexus-ops command, an ssh key if there is none
  --role worker    install nothing; print how the manager takes this machine in
  --yes, -y        answer yes to everything; without a terminal a manager is installed only with it
  --demo           as --role manager --yes, with podman; then runs: nexus-ops demo (needs root)
  --uninstall      keeps your environments, your ssh key and the system packages
  --help, -h       show this

As root it installs into /opt/nexus-ops and /usr/local/bin, as a user into ~/.local. Run it again to upgrade.
Exit codes: 0 done, 1 failed, 2 wrong usage or nobody to ask, 130 interrupted.
EOF
}

say() { printf '%s\n' "$*"; }
step() { printf '==> %s\n' "$*"; }
complain() { printf '%s\n' "$*" >&2; }
leave_out() { left_out="${left_out}  - $*"$'\n'; }

die() {
    complain "error: $*"
    exit "$EXIT_FAILED"
}

die_usage() {
    complain "error: $*"
    usage >&2
    exit "$EXIT_USAGE"
}

interactive() { [ -t 0 ]; }
is_root() { [ "$(id -u)" -eq 0 ]; }
have() { command -v "$1" >/dev/null 2>&1; }

# Asks until the answer is yes or no; returns 0 for yes. The end of the input ends the script: nobody is there to ask.
ask() {
    local answer
    while true; do
        printf '%s (y/n) ' "$1"
        if ! IFS= read -r answer; then
            say ""
            complain "error: no answer; run it again on a terminal, or with --role manager --yes or --role worker"
            exit "$EXIT_USAGE"
        fi
        case "$answer" in
            y | Y | yes | Yes | YES) return 0 ;;
            n | N | no | No | NO) return 1 ;;
            *) say "Please answer y or n." ;;
        esac
    done
}

# Runs a command with its output in the log; on failure shows the errors in it and the given explanation, and ends.
run_logged() {
    local explanation=$1
    shift
    if ! "$@" </dev/null >>"$log" 2>&1; then
        { grep -E '^ *(E:|Err:|[A-Za-z]*[Ee]rror:|ERROR:) ' "$log" || cat "$log"; } | tail -n 6 | sed 's/^ */    /' >&2
        local kept=$log
        log="" # kept for the person
        die "$explanation; the whole output is in $kept"
    fi
}

cleanup() {
    if [ -n "$building" ]; then rm -rf "$building"; fi
    if [ -n "$log" ]; then rm -f "$log"; fi
}

interrupted() {
    trap '' INT TERM HUP
    complain ""
    complain "interrupted; what was installed before is as it was, run it again to go on"
    exit "$EXIT_INTERRUPTED"
}

# --- the machine ---------------------------------------------------------------------------------------------------

recognise_system() {
    system=$(uname -s)
    case "$system" in
        Linux)
            if [ -r /etc/os-release ]; then
                # shellcheck disable=SC1091,SC2153
                system_name=$(. /etc/os-release && printf '%s %s' "${NAME%% *}" "${VERSION_ID:-}")
            else
                system_name="a Linux without /etc/os-release"
            fi
            ;;
        Darwin) system_name="macOS" ;;
        *) die "this is $system: the manager runs on Linux and macOS, workers on $SUPPORTED_NODES; nothing was changed" ;;
    esac
}

choose_folders() {
    if is_root; then
        prefix=/opt/nexus-ops
        bin_folder=/usr/local/bin
    else
        [ -n "${HOME:-}" ] || die "HOME is not set; set it to your home folder and run it again"
        prefix=$HOME/.local/share/nexus-ops
        bin_folder=$HOME/.local/bin
    fi
}

# The person behind the call: with sudo that is not root, and the ssh key and the environments are theirs.
as_person() {
    if is_root && [ -n "${SUDO_USER:-}" ] && [ "$SUDO_USER" != root ]; then
        sudo -H -u "$SUDO_USER" -- "$@"
    else
        "$@"
    fi
}

# --- system packages -----------------------------------------------------------------------------------------------

# A Python that the package accepts and that can make a venv.
python_fits() {
    "$1" -I -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

# The distribution's own comes first: one below somebody's home folder could not be used by other people.
find_python() {
    local candidate
    python=""
    for candidate in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
        # On macOS /usr/bin/python3 may be a stub that opens a window.
        if [ "$system" = Darwin ] && [ "$candidate" = /usr/bin/python3 ]; then continue; fi
        if have "$candidate" && python_fits "$candidate"; then
            python=$(command -v "$candidate")
            return 0
        fi
    done
    return 1
}

package_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Whether apt would install a version that fits the package; reads apt's lists only.
apt_python_fits() {
    local version
    version=$(apt-cache policy python3 2>/dev/null | awk '$1 == "Candidate:" { print $2 }')
    case "$version" in 3.11.* | 3.12.* | 3.13.*) return 0 ;; *) return 1 ;; esac
}

administrator() {
    if is_root; then
        "$@"
    elif interactive; then
        sudo -- "$@"
    else
        sudo -n -- "$@"
    fi
}

can_administrate() {
    if is_root; then return 0; fi
    have sudo || return 1
    if interactive; then sudo -v; else sudo -n true >/dev/null 2>&1; fi
}

# Installs packages, unless the person says no or may not: then returns 1. `python` stands for one that fits.
install_packages() {
    local packages="$*"
    step "System packages to install: $packages"
    if [ "$assume_yes" = no ] && ! ask "Install them with apt-get?"; then return 1; fi
    if ! can_administrate; then return 1; fi
    # A mirror that does not answer is told by the installation that follows, when it matters.
    apt_get update </dev/null >>"$log" 2>&1 || true
    case " $packages " in
        *" python "*)
            if apt_python_fits; then
                packages="${packages/python/python3 python3-venv}"
            else
                packages="${packages/python/python3.11 python3.11-venv}"
            fi
            ;;
    esac
    # shellcheck disable=SC2086  # a list of package names
    run_logged "apt-get could not install $packages; is the network reachable, and the right mirror set in /etc/apt?" \
        apt_get install --yes --no-install-recommends $packages
}

apt_get() { administrator env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 "$@"; }

set_up_packages() {
    local missing="" package
    find_python || missing="python"
    have git || missing="$missing git"
    have ssh || missing="$missing openssh-client"
    have sshpass || missing="$missing sshpass"
    if [ "$action" = demo ] && have apt-get; then
        for package in $SANDBOX_PACKAGES; do
            package_installed "$package" || missing="$missing $package"
        done
    fi
    # shellcheck disable=SC2086  # a list of package names
    if [ -z "$missing" ]; then
        step "System packages: all there"
    elif ! have apt-get || ! install_packages $missing; then
        explain_missing $missing
    fi
    find_python || die "no Python 3.11 to 3.13 with the venv module on this machine ($system_name); $(python_remedy)"
    step "Python: $python ($("$python" -I -c 'import platform; print(platform.python_version())'))"
}

python_remedy() {
    if have apt-get; then
        say "ask an administrator to run: apt-get install python3 python3-venv, then run this again"
    else
        say "install one with your package manager, then run this again"
    fi
}

# Says what does not work without the packages that could not be installed.
explain_missing() {
    local package
    for package in "$@"; do
        case "$package" in
            git) leave_out "git: services whose source is a git repository cannot be deployed" ;;
            openssh-client) leave_out "openssh-client: no node can be reached" ;;
            sshpass) leave_out "sshpass: nexus-ops bootstrap --ask-pass does not work" ;;
            python) ;; # without a Python the script ends
            *) die "the demo needs $package, which cannot be installed here; run it as root: ./install.sh --demo" ;;
        esac
    done
}

# --- the manager ---------------------------------------------------------------------------------------------------

link_is_ours() {
    case "$(readlink "$bin_folder/nexus-ops" 2>/dev/null || true)" in "$prefix"/venv-*) return 0 ;; *) return 1 ;; esac
}

installed_version() {
    if link_is_ours; then "$bin_folder/nexus-ops" --version 2>/dev/null || say "an installation that does not start"; fi
}

refuse_foreign_command() {
    local command=$bin_folder/nexus-ops
    if { [ -e "$command" ] || [ -L "$command" ]; } && ! link_is_ours; then
        die "$command is there and was not put there by this script; remove it first; nothing was changed"
    fi
}

# A new venv beside the old one, then one atomic change of the link: an installation that works stays until then.
install_package() {
    local before venv other
    before=$(installed_version)
    venv=$prefix/venv-$(date -u +%Y%m%dT%H%M%SZ)-$$
    mkdir -p "$prefix" "$bin_folder" || die "cannot make the folders $prefix and $bin_folder"
    building=$venv
    step "Installing into $prefix (takes a minute)"
    run_logged "cannot make a Python environment in $venv" "$python" -I -m venv "$venv"
    run_logged "pip could not install Nexus Ops and what it needs; is the network reachable, and the right index set for pip?" \
        env PIP_USER=no "$venv/bin/python" -I -m pip install --no-input --disable-pip-version-check "$checkout"
    run_logged "the new installation does not start" "$venv/bin/nexus-ops" --version
    ln -s "$venv/bin/nexus-ops" "$bin_folder/.nexus-ops.$$" || die "cannot write to $bin_folder"
    mv -f "$bin_folder/.nexus-ops.$$" "$bin_folder/nexus-ops" || die "cannot write $bin_folder/nexus-ops"
    building=""
    for other in "$prefix"/venv-*; do
        if [ "$other" != "$venv" ]; then rm -rf "$other"; fi
    done
    if [ -n "$before" ]; then
        step "Upgraded: $("$venv/bin/nexus-ops" --version) (was there: $before)"
    else
        step "Installed: $("$venv/bin/nexus-ops" --version) as $bin_folder/nexus-ops"
    fi
}

set_up_ssh_key() {
    local key
    have ssh-keygen || return 0
    # shellcheck disable=SC2016  # expanded by the person's shell
    key=$(as_person sh -c '
        for key in ~/.ssh/id_ed25519 ~/.ssh/id_ecdsa ~/.ssh/id_rsa; do
            if [ -e "$key" ]; then echo "there already: $key"; exit; fi
        done
        mkdir -p -m 700 ~/.ssh &&
        ssh-keygen -q -t ed25519 -N "" -C "nexus-ops@$(uname -n)" -f ~/.ssh/id_ed25519 </dev/null >&2 &&
        echo "made: ~/.ssh/id_ed25519"') || die "cannot make an ssh key in ~/.ssh; make one with ssh-keygen and run this again"
    step "ssh key $key"
}

install_manager() {
    [ -f "$checkout/pyproject.toml" ] || die "$checkout is not a checkout of Nexus Ops: pyproject.toml is missing"
    if [ "$action" = demo ] && [ "$system" != Linux ]; then
        die "this is $system_name: the demo boots Linux hosts in podman and needs Linux"
    fi
    if [ "$action" = demo ] && ! is_root; then die "the demo needs root; run: sudo ./install.sh --demo"; fi
    refuse_foreign_command
    log=$(mktemp "${TMPDIR:-/tmp}/nexus-ops-install.XXXXXX") || die "cannot write to ${TMPDIR:-/tmp}"
    set_up_packages
    install_package
    set_up_ssh_key
    if [ -n "$left_out" ]; then
        say "Left out, since it needs an administrator:"
        printf '%s' "$left_out"
    fi
    hint_at_path
    if [ "$action" = demo ]; then
        step "nexus-ops demo"
        "$bin_folder/nexus-ops" demo
    else
        offer_init
    fi
}

hint_at_path() {
    case ":$PATH:" in
        *":$bin_folder:"*) ;;
        *)
            say "$bin_folder is not on your PATH. For this shell and the next ones:"
            say "    export PATH=\"$bin_folder:\$PATH\"    # add it to ~/.profile"
            ;;
    esac
}

offer_init() {
    if [ "$assume_yes" = no ] && ask "Describe your machines now (nexus-ops init)?"; then
        as_person "$bin_folder/nexus-ops" init
    else
        say "Next: nexus-ops init    describes your machines and services"
    fi
}

# --- a worker ------------------------------------------------------------------------------------------------------

# Address and interface a line, the one of the default route first; bridges of containers and virtual machines aside.
list_addresses() {
    local default_interface
    if ! have ip; then
        hostname -I 2>/dev/null | tr ' ' '\n' | sed '/^$/d; s/$/ -/'
        return
    fi
    default_interface=$({ ip -o -4 route show default; ip -o -6 route show default; } 2>/dev/null |
        sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
    ip -o address show scope global 2>/dev/null | awk -v first="$default_interface" '
        $2 ~ /^(docker|podman|virbr|veth|br-|cni)/ { next }
        { sub("/.*", "", $4); line = $4 " " $2 }
        $2 == first { print line; next }
        { others = others line "\n" }
        END { printf "%s", others }'
}

show_host_key() {
    local key
    for key in /etc/ssh/ssh_host_ed25519_key.pub /etc/ssh/ssh_host_ecdsa_key.pub /etc/ssh/ssh_host_rsa_key.pub; do
        if [ -r "$key" ] && [ -x /usr/sbin/sshd ]; then
            say "Host key:   $(ssh-keygen -lf "$key")"
            say "            nexus-ops bootstrap shows it: compare the two before you accept"
            return
        fi
    done
    say "Host key:   none: the ssh server is missing here; install it first: apt-get install openssh-server"
}

# Where the ssh server listens, when that is not port 22: as an option for `nexus-ops node add`.
port_option() {
    local port
    port=$(cat /etc/ssh/sshd_config.d/*.conf /etc/ssh/sshd_config 2>/dev/null |
        awk 'tolower($1) == "port" { print $2; exit }')
    if [ "${port:-22}" != 22 ]; then say " --ssh-port $port"; fi
}

print_worker() {
    case "$system_name" in
        "Debian 12" | "Debian 13" | "Ubuntu 22.04" | "Ubuntu 24.04") ;;
        *) die "this is $system_name: workers run on $SUPPORTED_NODES" ;;
    esac
    local addresses address name
    addresses=$(list_addresses)
    address=$(printf '%s\n' "$addresses" | sed -n '1s/ .*//p')
    name=$(uname -n | sed 's/\..*//' | tr '[:upper:]' '[:lower:]')
    say "Nothing is installed here: the manager sets this machine up over ssh."
    say ""
    if [ -n "$address" ]; then
        say "Addresses:  $(printf '%s\n' "$addresses" | sed 's/\(.*\) \(.*\)/\1 (\2)/' | tr '\n' ',' | sed 's/,$//; s/,/, /g')"
    else
        say "Addresses:  none; connect this machine to the network first"
    fi
    show_host_key
    cat <<EOF

On the manager, in the folder that holds inventories/:

    nexus-ops node add $name --address ${address:-ADDRESS} --role worker$(port_option)
    nexus-ops bootstrap $name
    nexus-ops apply ha

bootstrap logs in as the environment's ssh user with your key. Where only another account or a password works yet:

    nexus-ops bootstrap $name --user ${USER:-$(id -un)} --ask-pass
EOF
}

# --- removal -------------------------------------------------------------------------------------------------------

uninstall() {
    local removed="" venv
    if link_is_ours; then
        rm -f "$bin_folder/nexus-ops" || die "cannot remove $bin_folder/nexus-ops"
        removed="$bin_folder/nexus-ops"
    fi
    for venv in "$prefix"/venv-*; do
        if [ -d "$venv" ]; then
            rm -rf "$venv" || die "cannot remove $venv"
            removed="$removed $venv"
        fi
    done
    rmdir "$prefix" 2>/dev/null || true # something else in it is not ours
    if [ -z "$removed" ]; then
        say "Nothing of Nexus Ops is installed in $prefix and $bin_folder."
        return
    fi
    say "Removed: ${removed# }"
    say "Kept: your environments (the inventories/ folders), ssh keys, system packages, and everything on the nodes,"
    say "which goes on running."
    if have podman && [ -n "$(podman ps --all --quiet --filter label=nexus-ops.sandbox 2>/dev/null)" ]; then
        say "Hosts of a sandbox are still here; without nexus-ops they are removed with:"
        # shellcheck disable=SC2016  # for the person to copy
        say '    podman rm --force $(podman ps --all --quiet --filter label=nexus-ops.sandbox)'
        # shellcheck disable=SC2016
        say '    podman network rm $(podman network ls --quiet --filter label=nexus-ops.sandbox)'
    fi
}

# --- the call ------------------------------------------------------------------------------------------------------

read_arguments() {
    local given_role=no
    while [ $# -gt 0 ]; do
        case "$1" in
            --role)
                [ $# -ge 2 ] || die_usage "--role needs a value: manager or worker"
                role=$2 given_role=yes
                shift
                ;;
            --role=*) role=${1#--role=} given_role=yes ;;
            --yes | -y) assume_yes=yes ;;
            --demo | --uninstall)
                [ "$action" = install ] || [ "$action" = "${1#--}" ] || die_usage "--demo and --uninstall exclude each other"
                action=${1#--}
                ;;
            --help | -h)
                usage
                exit 0
                ;;
            *) die_usage "unknown argument: $1" ;;
        esac
        shift
    done
    if [ "$given_role" = yes ]; then
        case "$role" in
            manager | worker) ;;
            *) die_usage "unknown role '$role': manager or worker" ;;
        esac
        [ "$action" != uninstall ] || die_usage "--uninstall takes no --role"
        [ "$action" != demo ] || [ "$role" = manager ] || die_usage "--demo sets up a manager, not a $role"
    fi
    if [ "$action" = demo ]; then role=manager assume_yes=yes; fi
}

ask_role() {
    local there
    interactive || die_usage "there is no terminal to ask on; say what this machine is: --role manager --yes or --role worker"
    there=$(installed_version)
    if [ -n "$there" ]; then say "There already: $there; yes upgrades it."; fi
    if ask "Install Nexus Manager?"; then
        role=manager
    elif ask "Is this a Worker node?"; then
        role=worker
    fi
}

main() {
    trap cleanup EXIT
    trap interrupted INT TERM HUP
    read_arguments "$@"
    recognise_system
    choose_folders
    if [ "$action" = uninstall ]; then
        uninstall
        return
    fi
    [ -n "$role" ] || ask_role
    case "$role" in
        manager)
            if [ "$assume_yes" = no ] && ! interactive; then
                die_usage "there is no terminal to ask on; add --yes to install the manager"
            fi
            install_manager
            ;;
        worker) print_worker ;;
        *) say "Nothing to do. A load balancer is set up from the manager, like a worker: nexus-ops node add --help" ;;
    esac
}

main "$@"
