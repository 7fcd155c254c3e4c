/**
 * Programs that a script finds on its PATH, by the names that mkosi's scripts call.
 * @module
 */

/**
 * mkosi-chroot: runs a program inside the image, which meanwhile has /proc, /dev, /sys, /run, /tmp and
 * /work. The mounts are in a namespace of their own and end with the program; the mount point /work is
 * the image's only if it was there before.
 */
export const chrootHelper = `#!/bin/sh
set -eu
made=
[ -e /buildroot/work ] || { mkdir /buildroot/work; made=yes; }
status=0
unshare --mount --propagation slave sh -eu -c '
  mount -t proc proc /buildroot/proc
  mount --rbind /dev /buildroot/dev
  mount -t tmpfs -o mode=755 tmpfs /buildroot/run
  mount -t tmpfs -o mode=1777 tmpfs /buildroot/tmp
  mount --rbind /work /buildroot/work
  exec chroot /buildroot "$@"
' mkosi-chroot "$@" || status=$?
[ -z "$made" ] || rmdir /buildroot/work
exit "$status"
`;
