#!/bin/sh
# Brings a fresh clone to where everything runs: the locked npm packages (Node.js 24 among them), and
# the host programs that imgtool runs. With `--peers` also the programs that the tests compare with.
# Says what it does; installs Debian packages only as root on a Debian-like system.
set -eu
cd "$(dirname "$0")/.."

stamp=node_modules/.imgtool-setup
lock=$(cksum <package-lock.json)
if [ ! -e "$stamp" ] || [ "$(cat "$stamp")" != "$lock" ]; then
  echo "setup: installing the locked npm packages (npm ci)" >&2
  npm ci --no-audit --no-fund --loglevel=error >&2
  echo "$lock" >"$stamp"
fi

missing=$(./imgtool doctor --missing-packages --quiet)
if [ "${1:-}" = --peers ]; then
  # The programs that the tests use as a judge: program=package.
  for pair in \
    apt-ftparchive=apt-utils \
    blkid=util-linux \
    bsdtar=libarchive-tools \
    btrfs=btrfs-progs \
    busybox=busybox-static \
    casync=casync \
    cpio=cpio \
    createrepo_c=createrepo-c \
    curl=curl \
    debugfs=e2fsprogs \
    dnf=dnf \
    e2fsck=e2fsprogs \
    fish=fish \
    fsck.erofs=erofs-utils \
    fsck.fat=dosfstools \
    getfacl=acl \
    gpg-agent=gpg-agent \
    gpg=gpg \
    gpgconf=gpgconf \
    mcopy=mtools \
    mkfs.btrfs=btrfs-progs \
    mkfs.xfs=xfsprogs \
    mkswap=util-linux \
    mount=mount \
    newuidmap=uidmap \
    nginx=nginx-light \
    objdump=binutils \
    openssl=openssl \
    osslsigncode=osslsigncode \
    pacman=pacman-package-manager \
    python3=python3 \
    nbdinfo=libnbd-bin \
    qemu-img=qemu-utils \
    repo-add=pacman-package-manager \
    rpmbuild=rpm \
    rpmsign=rpm \
    sbverify=sbsigntool \
    setcap=libcap2-bin \
    setfattr=attr \
    setpriv=util-linux \
    sfdisk=fdisk \
    sgdisk=gdisk \
    skopeo=skopeo \
    ssh=openssh-client \
    sshd=openssh-server \
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
    xz=xz-utils \
    zsh=zsh \
    zstd=zstd \
    zypper=zypper
  do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%=*}" >/dev/null || missing="$missing ${pair#*=}"
  done
  # What has no program: systemd's EFI stub,
  [ -e /usr/lib/systemd/boot/efi ] || missing="$missing systemd-boot-efi"
  # UEFI firmware for virtual machines.
  [ -e /usr/share/OVMF ] || missing="$missing ovmf"
fi
[ -n "${missing# }" ] || exit 0

install="apt-get install --no-install-recommends -y ${missing# }"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "setup: installing host programs with: $install" >&2
  apt-get update -qq >&2
  # Servers among them must not start by themselves.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  DEBIAN_FRONTEND=noninteractive $install -qq >/dev/null
else
  echo "setup: some host programs are missing. Install them with:" >&2
  echo "  sudo apt-get update && sudo $install" >&2
  exit 6
fi
