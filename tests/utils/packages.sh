#!/bin/sh
# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Installs Debian packages for their programs only; run as root. usage: packages.sh PACKAGE...
# Nobody who runs tests asked for a database server on port 5432 or for remote logins, so no service is started, no
# default cluster is created, and sshd stays off after the next boot, too.
set -eu

policy=/usr/sbin/policy-rc.d
clusters=/etc/postgresql-common/createcluster.d
had_sshd=
if [ -x /usr/sbin/sshd ]; then had_sshd=yes; fi
made_policy=

restore() {
    rm -f "$clusters/holdfast-tests.conf"
    rmdir --ignore-fail-on-non-empty "$clusters"
    if [ -n "$made_policy" ]; then rm -f "$policy"; fi
}
trap restore EXIT
trap 'exit 1' HUP INT TERM

# Both are documented switches of Debian's packages, and are gone when this program ends.
if ! [ -e "$policy" ]; then
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
mkdir -p "$clusters"
echo 'create_main_cluster = false' > "$clusters/holdfast-tests.conf"

export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q -y install --no-install-recommends "$@"

if [ -z "$had_sshd" ] && [ -x /usr/sbin/sshd ] && command -v systemctl > /dev/null; then
    systemctl disable ssh.service ssh.socket || true
fi
