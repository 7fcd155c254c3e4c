#!/bin/sh
# Brings a fresh clone to where everything runs: the locked npm packages (Node.js 24 among them), and
# the host programs that imgtool runs. With `--peers` also the programs that the tests compare with.
# Says what it does; installs Debian packages only as root on a Debian-like system.
set -eu
cd "$(dirname "$0")/.."

stamp=node_modules/.imgtool-setup
lock=$(cksum <package-lock.json)
# What waits for the network runs beside the rest: in a fresh clone npm and apt-get fetch at the same time.
update=
azurite=
if [ ! -e "$stamp" ] || [ "$(cat "$stamp")" != "$lock" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq >&2 &
    update=$!
  fi
  echo "setup: installing the locked npm packages (npm ci)" >&2
  npm ci --no-audit --no-fund --loglevel=error >&2
  echo "$lock" >"$stamp"
fi

missing=$(./imgtool doctor --missing-packages --quiet)
if [ "${1:-}" = --peers ]; then
  # The programs that the tests use as a judge: program=package.
  for pair in \
    apache2=apache2-bin \
    apt-ftparchive=apt-utils \
    blkid=util-linux \
    bsdtar=libarchive-tools \
    btrfs=btrfs-progs \
    busybox=busybox-static \
    casync=casync \
    checkpolicy=checkpolicy \
    cpio=cpio \
    createrepo_c=createrepo-c \
    curl=curl \
    docker-registry=docker-registry \
    debugfs=e2fsprogs \
    dnf=dnf \
    e2fsck=e2fsprogs \
    fish=fish \
    fusermount3=fuse3 \
    fsck.erofs=erofs-utils \
    fsck.fat=dosfstools \
    getfacl=acl \
    gpg-agent=gpg-agent \
    gpg=gpg \
    gpgconf=gpgconf \
    /usr/lib/grub/i386-pc/grub-bios-setup=grub-pc-bin \
    grub-fstest=grub-common \
    ip=iproute2 \
    mcopy=mtools \
    mkfs.btrfs=btrfs-progs \
    mkfs.xfs=xfsprogs \
    mkswap=util-linux \
    mkfs.ext4=e2fsprogs \
    mount=mount \
    newuidmap=uidmap \
    nginx=nginx-light \
    objdump=binutils \
    openssl=openssl \
    osslsigncode=osslsigncode \
    proftpd=proftpd-core \
    pacman=pacman-package-manager \
    python3=python3 \
    nbdinfo=libnbd-bin \
    qemu-img=qemu-utils \
    repo-add=pacman-package-manager \
    rpmbuild=rpm \
    rpmsign=rpm \
    sbverify=sbsigntool \
    setcap=libcap2-bin \
    setfiles=policycoreutils \
    setfattr=attr \
    setpriv=util-linux \
    sfdisk=fdisk \
    sgdisk=gdisk \
    skopeo=skopeo \
    ssh=openssh-client \
    sshd=openssh-server \
    swtpm=swtpm \
    swift-account-server=swift-account \
    swift-container-server=swift-container \
    swift-object-server=swift-object \
    swift-proxy-server=swift-proxy \
    systemd-dissect=systemd-container \
    systemd-id128=systemd \
    systemd-repart=systemd \
    umoci=umoci \
    unshare=util-linux \
    unsquashfs=squashfs-tools \
    veritysetup=cryptsetup-bin \
    xfs_repair=xfsprogs \
    xz=xz-utils \
    /lib/systemd/systemd-journal-remote=systemd-journal-remote \
    zsh=zsh \
    zstd=zstd \
    zypper=zypper
  do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%=*}" >/dev/null || missing="$missing ${pair#*=}"
  done
  python3 -c 'import cryptography' 2>/dev/null || missing="$missing python3-cryptography"
  /usr/bin/python3 -c 'import zeroconf' 2>/dev/null || missing="$missing python3-zeroconf"
  # What has no program: systemd's EFI stub,
  [ -e /usr/lib/systemd/boot/efi ] || missing="$missing systemd-boot-efi"
  # GRUB's modules for UEFI,
  [ -e /usr/lib/grub/x86_64-efi ] || missing="$missing grub-efi-amd64-bin"
  # makepkg's library, without which repo-add does not run,
  [ -e /usr/share/makepkg/util.sh ] || missing="$missing makepkg"
  # UEFI firmware for virtual machines.
  [ -e /usr/share/OVMF ] || missing="$missing ovmf"
  # ProFTPD's TLS.
  [ -e /usr/lib/proftpd/mod_tls.so ] || missing="$missing proftpd-mod-crypto"
  # Microsoft's emulator of Azure's storage comes from npm. With its 240 MB it is no dependency of the project.
  if [ "$(id -u)" = 0 ] && ! command -v azurite-blob >/dev/null; then
    echo "setup: installing azurite with npm" >&2
    npm install --global --ignore-scripts --no-audit --no-fund --loglevel=error azurite@3.37.0 >&2 &
    azurite=$!
  fi
  # As udev's rules have it; without udev it is root's alone, and users could mount nothing.
  if [ "$(id -u)" = 0 ] && [ -c /dev/fuse ]; then chmod 0666 /dev/fuse; fi
fi
if [ -z "${missing# }" ]; then
  # Where nothing is missing, lists that could not be read do no harm.
  [ -z "$update" ] || wait "$update" || true
  [ -z "$azurite" ] || wait "$azurite"
  exit 0
fi

install="apt-get install --no-install-recommends -y ${missing# }"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "setup: installing host programs with: $install" >&2
  if [ -n "$update" ]; then wait "$update"; else apt-get update -qq >&2; fi
  # Servers among them must not start by themselves.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  DEBIAN_FRONTEND=noninteractive $install -qq >/dev/null
  [ -z "$azurite" ] || wait "$azurite"
else
  echo "setup: some host programs are missing. Install them with:" >&2
  echo "  sudo apt-get update && sudo $install" >&2
  exit 6
fi
