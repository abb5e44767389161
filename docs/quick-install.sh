#!/bin/sh
# Adds the signed repository of vps-configurator to a Debian 13 host and installs the package. Doing it again changes
# nothing. Nothing is configured by it: the next step is `vps-configurator plan`.
#
#   sh quick-install.sh               add the repository and its key, install
#   sh quick-install.sh --uninstall   remove the package, the repository and the key (asks first what stays applied)
#
# Variables (the copy that lies beside a repository has the first two filled in):
#   REPO_URL          where the repository is
#   VPS_FINGERPRINT   the OpenPGP fingerprint of its key, 40 hex digits; compare it with a second source
#   VPS_PROFILE       answers the question for the profile: none, beginner
set -eu

REPO_URL=${REPO_URL:-@REPO_URL@}
VPS_FINGERPRINT=${VPS_FINGERPRINT:-@FINGERPRINT@}
VPS_PROFILE=${VPS_PROFILE:-}
key=/usr/share/keyrings/vps-configurator.pgp
sources=/etc/apt/sources.list.d/vps-configurator.sources

fail() { # WHAT WHY FIX
    printf 'error: %s\n  why:   %s\n  fix:   %s\n' "$1" "$2" "$3" >&2
    exit "${4:-1}"
}

check_root() {
    [ "$(id -u)" = 0 ] || fail "this must run as root" "it adds or removes an APT source" "sudo sh $0" 6
}

check_host() {
    id=$(. /etc/os-release && echo "${ID:-unknown} ${VERSION_ID:-unknown}")
    [ "$id" = "debian 13" ] || fail "this host is not Debian 13" "/etc/os-release says: $id" "use a Debian 13 (trixie) host" 2
    case $(dpkg --print-architecture) in
        amd64 | arm64) ;;
        *) fail "no packages for this architecture" "dpkg says $(dpkg --print-architecture)" "use an amd64 or arm64 host" 2 ;;
    esac
}

check_variables() {
    case $REPO_URL in
        https://* | file:* | http://127.0.0.1[:/]*) ;;
        # A repository in a test network: the fingerprint, not the transport, is what the trust rests on.
        http://*) echo "note: $REPO_URL is not https: others can see what is fetched, but not change it" >&2 ;;
        *) fail "no address of a repository" "REPO_URL is \"$REPO_URL\"" "REPO_URL=https://... sh $0" 2 ;;
    esac
    VPS_FINGERPRINT=$(echo "$VPS_FINGERPRINT" | tr -d ' ' | tr a-f A-F)
    echo "$VPS_FINGERPRINT" | grep -Eqx '[0-9A-F]{40}' ||
        fail "no fingerprint to compare the key with" "VPS_FINGERPRINT is \"$VPS_FINGERPRINT\"" \
            "take the copy of this script that lies beside the repository, or set VPS_FINGERPRINT" 2
}

# apt's own downloader: a minimal host has no other.
download() { # URL FILE
    case $1 in
        file:*) cp "${1#file:}" "$2" ;;
        *)
            # _apt, a user without rights, writes the file.
            chmod 0711 "$work"
            mkdir -p "$work/partial"
            ! id _apt > /dev/null 2>&1 || chown _apt "$work/partial"
            /usr/lib/apt/apt-helper download-file "$1" "$work/partial/file" > "$work/log" 2>&1 || {
                why=$(grep -m 1 '^E:' "$work/log" || tail -n 1 "$work/log")
                fail "cannot fetch $1" "$why" "check REPO_URL, the network and, for https, that ca-certificates is installed"
            }
            cp "$work/partial/file" "$2"
            ;;
    esac
}

# The fingerprint (RFC 4880, 12.2: SHA-1 over 0x99, the length in two octets, the packet) of each primary key in a
# binary key file. All of them, for apt trusts every key that the file holds. In sh: a minimal host has no gpg.
fingerprints_of() { # FILE
    od -An -v -tu1 "$1" | tr -s ' ' '\n' | awk '
        NF { octet[n++] = $1 }
        END {
            for (i = 0; i < n; i = body + length_) {
                tag = octet[i]
                if (tag < 128) exit 1
                if (tag >= 192) {            # new format
                    kind = tag - 192
                    first = octet[i + 1]
                    if (first < 192) { length_ = first; body = i + 2 }
                    else if (first < 224) { length_ = (first - 192) * 256 + octet[i + 2] + 192; body = i + 3 }
                    else exit 1
                } else {                     # old format
                    kind = int((tag - 128) / 4)
                    size = tag % 4
                    if (size == 0) { length_ = octet[i + 1]; body = i + 2 }
                    else if (size == 1) { length_ = octet[i + 1] * 256 + octet[i + 2]; body = i + 3 }
                    else exit 1
                }
                if (body + length_ > n) exit 1
                if (kind == 6) print body, length_, octet[body]
            }
        }' > "$work/keys" || return 1
    while read -r offset length version; do
        [ "$version" = 4 ] || return 1
        {
            # shellcheck disable=SC2059 # the octets of the length are the format
            printf "\\231\\$(printf %03o $((length / 256)))\\$(printf %03o $((length % 256)))"
            tail -c "+$((offset + 1))" "$1" | head -c "$length"
        } | sha1sum | cut -d ' ' -f 1 | tr a-f A-F
    done < "$work/keys"
}

install() {
    check_root
    check_host
    check_variables
    download "$REPO_URL/vps-configurator.pgp" "$work/key.pgp"
    found=$(fingerprints_of "$work/key.pgp") || found="nothing that is an OpenPGP key"
    [ "$found" = "$VPS_FINGERPRINT" ] ||
        fail "the repository's key is not the expected one; nothing was changed" \
            "expected $VPS_FINGERPRINT, got $(echo "$found" | tr '\n' ' ')" \
            "don't go on; ask the repository's owner over another channel"
    # Before anything of apt's is touched.
    architecture=$(dpkg --print-architecture)
    download "$REPO_URL/dists/trixie/InRelease" "$work/InRelease"
    grep -Eq "^Architectures:.* $architecture( |\$)" "$work/InRelease" ||
        fail "the repository has no packages for $architecture; nothing was changed" \
            "it has: $(sed -n 's/^Architectures: //p' "$work/InRelease")" "use a host of one of these" 2
    # The same bytes as in vps-configurator-apt-source, which takes both files over below.
    cat > "$work/sources" <<EOF
# The repository of vps-configurator. The key is trusted for this entry only.
Types: deb
URIs: $REPO_URL
Suites: trixie
Components: main
Signed-By: $key
EOF
    put "$work/key.pgp" "$key"
    put "$work/sources" "$sources"
    # Without -eany an update that failed to verify would pass with the lists of yesterday.
    apt-get update -eany
    if [ -n "$VPS_PROFILE" ]; then
        echo "vps-configurator vps-configurator/profile select $VPS_PROFILE" | debconf-set-selections
    fi
    apt-get install -y -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        vps-configurator-apt-source vps-configurator
    echo
    echo "vps-configurator is installed; nothing is configured yet. Next: vps-configurator plan"
}

put() { # FROM TO: unless it is there already
    if ! cmp -s "$1" "$2"; then
        mkdir -p "$(dirname "$2")"
        cp "$1" "$2.new"
        chmod 0644 "$2.new"
        mv "$2.new" "$2"
    fi
}

# Also where the host is no longer a Debian 13.
uninstall() {
    check_root
    installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' vps-configurator vps-configurator-apt-source 2> /dev/null |
        sed -n 's/^[^un]. *//p')
    if [ -n "$installed" ]; then
        # shellcheck disable=SC2086 # a list of words
        apt-get purge -y $installed
    fi
    # What no package owned.
    rm -f "$key" "$sources"
    apt-get update
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case ${1:-} in
    "") install ;;
    --uninstall) uninstall ;;
    *) fail "unknown argument \"$1\"" "there is only --uninstall" "sh $0 [--uninstall]" 2 ;;
esac
