/**
 * Programs that a script finds on its PATH, by the names that mkosi's scripts call.
 * @module
 */
import { shellWord } from "@imgtool/host";

export const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface HelperOptions {
  /** Whether the script, and with it what runs in the image, may use the network. */
  readonly network: boolean;
  /** Working directory of programs in the image. */
  readonly workdir: string;
}

/** What mkosi tells programs in the image: that they are in a container of its, and whose home is the root. */
export const insideEnvironment: Readonly<Record<string, string>> = { container: "mkosi", HOME: "/" };

/** Path and content of the file that says the same to programs which do not get the variable. */
export const containerManager: { readonly path: string; readonly text: string } = {
  path: "/run/host/container-manager",
  text: "mkosi",
};

/**
 * mkosi-chroot: runs a program inside the image, which meanwhile has /proc, /dev, /sys, /run, /tmp and
 * /work, and with a network the host's resolv.conf. The mounts are in a namespace of their own and end with the
 * program; mount points are the image's only if they were there before.
 */
function chrootHelper({ network, workdir }: HelperOptions): string {
  const environment = Object.entries({ ...insideEnvironment, BUILDROOT: "/", PATH: systemPath });
  return `#!/bin/sh
set -eu
made=
for name in proc dev run tmp work; do
  [ -e "/buildroot/$name" ] || { mkdir "/buildroot/$name"; made="$made /buildroot/$name"; }
done
resolver=
${network ? findResolver : ""}
status=0
unshare --mount --propagation slave sh -eu -c '
  resolver=$1 workdir=$2
  shift 2
  mount -t proc proc /buildroot/proc
  mount --rbind /dev /buildroot/dev
  mount -t tmpfs -o mode=755 tmpfs /buildroot/run
  mount -t tmpfs -o mode=1777 tmpfs /buildroot/tmp
  mount --rbind /work /buildroot/work
  mkdir -p /buildroot/run/user/0 "/buildroot$(dirname ${containerManager.path})"
  printf %s ${containerManager.text} > /buildroot${containerManager.path}
  if [ -n "$resolver" ]; then
    case $resolver in /buildroot/run/*) mkdir -p "$(dirname "$resolver")"; touch "$resolver";; esac
    mount --bind /etc/resolv.conf "$resolver"
  fi
  export ${environment.map((words) => words.join("=")).join(" ")}
  exec unshare --root /buildroot --wd "$workdir" -- "$@"
' mkosi-chroot "$resolver" ${shellWord(workdir)} "$@" || status=$?
[ -z "$made" ] || rmdir $made
${network ? '[ -z "$resolver" ] || [ -z "$new" ] || rm -f "$resolver"' : ""}
exit "$status"
`;
}

/**
 * Sets $resolver to the place where the image looks for its resolv.conf, and $new when it is an empty file that was
 * made for the mount. Only /run, which is scratch meanwhile, gets folders too.
 */
const findResolver = `
new=
if [ -e /etc/resolv.conf ] && [ -d /buildroot/etc ]; then
  resolver=/etc/resolv.conf
  if [ -L /buildroot/etc/resolv.conf ]; then
    link=$(readlink /buildroot/etc/resolv.conf)
    case $link in /*) resolver=$link;; *) resolver=/etc/$link;; esac
    resolver=$(realpath -ms "$resolver")
  fi
  case $resolver in
    /run/*) ;;
    /etc/resolv.conf) [ -e /buildroot/etc/resolv.conf ] || { : > /buildroot/etc/resolv.conf; new=yes; };;
    *) [ -f "/buildroot$resolver" ] && [ ! -L "/buildroot$resolver" ] || resolver=;;
  esac
  [ -z "$resolver" ] || resolver=/buildroot$resolver
fi`;

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

/**
 * The helpers as shell scripts by name. mkosi-as-caller is of older versions: since mkosi 25 it just runs the program.
 */
export function helperPrograms(options: HelperOptions): Readonly<Record<string, string>> {
  return {
    "mkosi-chroot": chrootHelper(options),
    "mkosi-as-caller": '#!/bin/sh\nexec env "$@"\n',
    useradd: onTheImage("useradd"),
    groupadd: onTheImage("groupadd"),
  };
}
