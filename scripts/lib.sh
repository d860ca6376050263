# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# What the scripts share: packages, huge pages, the guest's kernel, the build. Sourced, not run.
# Every function may be called again and does only what is missing.
# shellcheck disable=SC2034 # the variables are for the scripts that source this one

# Debian's tools before any others: its meson and its python3 are the ones that were tested.
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${RINGWAY_BUILD:-$ROOT/build}
CACHE=${RINGWAY_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ringway}

PACKAGES_BUILD=(gcc libc6-dev meson ninja-build pkg-config python3
	libdpdk-dev libnuma-dev libjansson-dev libseccomp-dev libyaml-dev libmnl-dev
	libmicrohttpd-dev libpcap-dev libcmocka-dev)
PACKAGES_GUEST=(qemu-system-x86 busybox-static socat)
PACKAGES_TEST=(chromium clang clang-format clang-tidy libclang-rt-14-dev llvm-14 cppcheck shellcheck
	codespell tcpdump tshark universal-ctags dpdk-dev git help2man iproute2 prometheus
	python3-jsonschema
	python3-matplotlib python3-pytest python3-pytest-xdist python3-yaml valgrind)
# For the guests of tests/vm: what they run, and a firmware that is not SeaBIOS.
PACKAGES_VM=(dnsmasq-base ethtool ovmf)
PACKAGES_LIBVIRT=(libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients)
PACKAGES_UPLINK=(openvswitch-switch)
# To build and try the Debian package.
PACKAGES_PACKAGE=(debhelper debootstrap dpkg-dev help2man lintian)
PACKAGES_ARM64=(gcc-aarch64-linux-gnu qemu-user)
# Of arm64, unpacked and not installed.
PACKAGES_SYSROOT=(libc6-dev libdpdk-dev libnuma-dev libjansson-dev libseccomp-dev libyaml-dev
	libmicrohttpd-dev libcmocka-dev)

# 2 MiB pages: one guest's memory (128) for each of four guests or a testpmd, the rest for the
# switch.
HUGE_PAGES=1024

say() {
	printf '%s\n' "$*"
}

warn() {
	printf 'warning: %s\n' "$*" >&2
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# have_package NAME...: is each of them installed?
have_package() {
	local package
	for package in "$@"; do
		[[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == \
			installed ]] || return 1
	done
}

# setup_packages NAME...
setup_packages() {
	local package missing=()
	for package in "$@"; do
		have_package "$package" || missing+=("$package")
	done
	((${#missing[@]})) || return 0
	[[ $(id -u) == 0 ]] || die "packages are missing; as root:" \
		"apt-get install --no-install-recommends ${missing[*]}"
	say "installing ${missing[*]}"
	local apt=(apt-get -q -y -o DPkg::Lock::Timeout=120)
	"${apt[@]}" update || die "apt-get update failed"
	DEBIAN_FRONTEND=noninteractive \
		"${apt[@]}" install --no-install-recommends "${missing[@]}" ||
		die "apt-get install failed"
}

# Root reserves huge pages and mounts them. Others use what is there; ringwayd can do without.
setup_huge_pages() {
	local sys=/sys/kernel/mm/hugepages/hugepages-2048kB have
	if [[ ! -d $sys ]]; then
		warn "this machine has no 2 MiB pages"
		return 0
	fi
	have=$(<"$sys/nr_hugepages")
	if ((have < HUGE_PAGES)) && [[ $(id -u) == 0 ]]; then
		# Never more than half of what is free: the guests and the build need memory too.
		local half wanted
		half=$(awk '/^MemAvailable:/ { print int($2 / 2048 / 2) }' /proc/meminfo)
		wanted=$((have + half < HUGE_PAGES ? have + half : HUGE_PAGES))
		# A container may see the file and not write it.
		{ echo "$wanted" >"$sys/nr_hugepages"; } 2>/dev/null || true
		have=$(<"$sys/nr_hugepages")
	fi
	if ((have > 0)) && ! grep -q ' hugetlbfs ' /proc/mounts && [[ $(id -u) == 0 ]]; then
		{ mkdir -p /dev/hugepages && mount -t hugetlbfs none /dev/hugepages; } ||
			warn "cannot mount /dev/hugepages"
	fi
	((have >= HUGE_PAGES)) ||
		warn "$have huge pages instead of $HUGE_PAGES: what finds none left goes without"
}

# The guests run Debian's cloud kernel. The package is unpacked into the cache, not installed:
# a link to it and the initramfs for it are $BUILD/guest/kernel and $BUILD/guest/initramfs.
setup_guest() {
	local unpacked=("$CACHE"/kernel/*/boot/vmlinuz-*)
	if [[ ! -f ${unpacked[0]} ]]; then
		download_kernel
		unpacked=("$CACHE"/kernel/*/boot/vmlinuz-*)
	fi
	mkdir -p "$BUILD/guest"
	ln -sfn "${unpacked[0]}" "$BUILD/guest/kernel"
	"$ROOT/scripts/guest.py" initramfs "${unpacked[0]%/boot/*}" "$BUILD/guest/initramfs" ||
		die "cannot build the initramfs"
}

kernel_package() {
	apt-cache depends linux-image-cloud-amd64 2>/dev/null |
		awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ { print $2; exit }'
}

download_kernel() {
	local package
	package=$(kernel_package)
	if [[ -z $package && $(id -u) == 0 ]]; then
		apt-get -q update || die "apt-get update failed"
		package=$(kernel_package)
	fi
	[[ $package ]] || die "apt does not know linux-image-cloud-amd64; as root: apt-get update"
	say "downloading $package, the guests' kernel"
	mkdir -p "$CACHE"
	local work
	work=$(mktemp -d "$CACHE/download.XXXXXX")
	# As root apt would drop to a user who cannot write here, and say so.
	if ! (cd "$work" && apt-get -q -o APT::Sandbox::User=root download "$package" &&
		dpkg -x ./*.deb unpacked); then
		rm -rf "$work"
		die "cannot download $package"
	fi
	# Renamed when complete: an interrupted download leaves nothing that looks like a kernel.
	mkdir -p "$CACHE/kernel"
	rm -rf "$CACHE/kernel/$package"
	mv "$work/unpacked" "$CACHE/kernel/$package"
	rm -rf "$work"
}

# configure DIRECTORY [MESON_OPTION...]: once, then adapt the options.
configure() {
	local dir=$1
	shift
	[[ ${CI:-} != true ]] || set -- --werror "$@"
	if [[ ! -f $dir/build.ninja ]]; then
		meson setup "$dir" "$ROOT" "$@" || return 1
	elif (($#)); then
		meson configure "$dir" "${@/#--werror/-Dwerror=true}" || return 1
	fi
}

# build DIRECTORY [MESON_OPTION...]: configure, and build everything.
build() {
	configure "$@" && ninja -C "$1"
}
