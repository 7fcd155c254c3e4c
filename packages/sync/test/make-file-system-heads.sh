#!/bin/sh
# Writes file-system-heads.json: the first bytes of file systems as the real programs make them, 24 MiB
# and more, so that the test of their lengths needs none of these programs. Needs what it runs, no root.
set -eu
cd "$(dirname "$0")"
out=$PWD/file-system-heads.json
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir tree
head -c 70000 /dev/zero >tree/zeros
printf 'text\n' >tree/text

separator='['
# head NAME KIND SIZE PROGRAM: of the image that was made; SIZE "none" where its header tells none
head_of() {
  head -c 131072 image | gzip -9n | base64 -w0 >encoded
  printf '%s\n  { "name": "%s", "kind": "%s", "size": %s, "by": "%s",\n    "head": "%s" }' \
    "$separator" "$1" "$2" "$3" "$4" "$(cat encoded)" >>json
  separator=,
  rm image
}
version() { "$@" 2>&1 | grep -oE '[0-9]+(\.[0-9]+)+' | head -1; }

megabyte=1048576
truncate -s $((24 * megabyte)) image
mkfs.ext4 -q -O 64bit -U 00000000-0000-4000-8000-000000000001 image
head_of ext4 ext4 $((24 * megabyte)) "mkfs.ext4 $(version mkfs.ext4 -V)"

truncate -s $((5 * 1024 * megabyte)) image
mkfs.ext4 -q -b 1024 -O ^64bit -U 00000000-0000-4000-8000-000000000002 image
head_of "ext4 with blocks of 1 KiB" ext4 $((5 * 1024 * megabyte)) "mkfs.ext4 $(version mkfs.ext4 -V)"

truncate -s $((128 * megabyte)) image
mkfs.btrfs -q -U 00000000-0000-4000-8000-000000000003 image
head_of btrfs btrfs $((128 * megabyte)) "mkfs.btrfs $(version mkfs.btrfs -V)"

truncate -s $((320 * megabyte)) image
mkfs.xfs -q -m uuid=00000000-0000-4000-8000-000000000004 image
head_of xfs xfs $((320 * megabyte)) "mkfs.xfs $(version mkfs.xfs -V)"

mksquashfs tree image -quiet -no-progress -all-time 0 >/dev/null
head_of squashfs squashfs "$(stat -c %s image)" "mksquashfs $(version mksquashfs -version)"

mkfs.erofs -T0 -U 00000000-0000-4000-8000-000000000005 image tree >/dev/null
head_of erofs erofs "$(stat -c %s image)" "mkfs.erofs $(version mkfs.erofs -V)"

# FAT takes whole tracks: what the program says itself is the length.
for bits in 12 16 32; do
  truncate -s $((64 * megabyte + 512 * 7)) image
  [ $bits != 12 ] || truncate -s $((2 * megabyte)) image
  sectors=$(mkfs.vfat -v -F $bits -i 00000006 image | grep -oE '[0-9]+ sectors;' | grep -oE '[0-9]+')
  head_of "FAT with $bits bits" fat $((sectors * 512)) "mkfs.vfat $(version mkfs.vfat --help)"
done

truncate -s $((24 * megabyte + 2048)) image
chmod 600 image
mkswap -U 00000000-0000-4000-8000-000000000007 image >/dev/null 2>&1
head_of swap swap $((24 * megabyte)) "mkswap $(version mkswap --version)"

truncate -s $((24 * megabyte)) image
printf secret | cryptsetup -q luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
  --uuid 00000000-0000-4000-8000-000000000008 image -
# Random key material says nothing here and does not compress.
head -c 32768 image >header && truncate -s 131072 header && mv header image
head_of "LUKS2 to the end of the device" luks2 null "cryptsetup $(version cryptsetup --version)"

printf '\n]\n' >>json
mv json "$out"
