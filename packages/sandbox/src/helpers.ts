/**
 * Programs that a script finds on its PATH, by the names that mkosi's scripts call.
 * @module
 */

/**
 * mkosi-chroot: runs a program inside the image, which meanwhile has /proc, /dev, /sys, /run, /tmp and
 * /work. The mounts are in a namespace of their own and end with the program; the mount point /work is
 * the image's only if it was there before.
 */
const chrootHelper = `#!/bin/sh
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

/** A program of this machine that does the same to the image: without the helper it would meet the host's files. */
function onTheImage(program: string): string {
  return `#!/bin/sh
set -eu
folder="$(dirname "$0")"
# The program itself, which this helper hides.
PATH="$(printf %s "$PATH" | tr : '\\n' | grep -vxF "$folder" | paste -sd :)"
export PATH
exec ${program} --root /buildroot "$@"
`;
}

/** All helpers by name. mkosi-as-caller is of older versions: since mkosi 25 it just runs the program. */
export const helperPrograms: Readonly<Record<string, string>> = {
  "mkosi-chroot": chrootHelper,
  "mkosi-as-caller": '#!/bin/sh\nexec env "$@"\n',
  useradd: onTheImage("useradd"),
  groupadd: onTheImage("groupadd"),
};
