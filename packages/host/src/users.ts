/**
 * Users and groups of the host by number and by name, as the C library finds them (files, LDAP,
 * systemd-homed, …). Answers are kept: a tree asks for the same few owners all the time.
 * @module
 */
import { foreign, SystemCallError, type Koffi } from "./libc.ts";

interface Passwd {
  readonly name: string;
  readonly id: number;
}

let declared = false;
/** koffi knows structs by name, once. */
function declareStructs(koffi: Koffi): void {
  if (declared) return;
  declared = true;
  koffi.struct("imgtool_passwd", {
    name: "const char *",
    password: "const char *",
    id: "uint32_t",
    gid: "uint32_t",
    gecos: "const char *",
    home: "const char *",
    shell: "const char *",
  });
  koffi.struct("imgtool_group", {
    name: "const char *",
    password: "const char *",
    id: "uint32_t",
    members: "void *",
  });
}

const rest = "void *buffer, size_t size, _Out_ void **result";
const lookups = {
  getpwuid_r: foreign(`int getpwuid_r(uint32_t uid, _Out_ imgtool_passwd *entry, ${rest})`, declareStructs),
  getgrgid_r: foreign(`int getgrgid_r(uint32_t gid, _Out_ imgtool_group *entry, ${rest})`, declareStructs),
  getpwnam_r: foreign(`int getpwnam_r(const char *name, _Out_ imgtool_passwd *entry, ${rest})`, declareStructs),
  getgrnam_r: foreign(`int getgrnam_r(const char *name, _Out_ imgtool_group *entry, ${rest})`, declareStructs),
};

const erange = 34;
// Answers that mean "not known", as getpwnam_r(3) lists them: ENOENT, ESRCH, EBADF, EPERM, EIO where a service is down.
const unknown: ReadonlySet<number> = new Set([0, 1, 2, 3, 5, 9]);
const largestBuffer = 1024 ** 2;

function lookup(call: keyof typeof lookups, key: number | string): Passwd | undefined {
  for (let size = 4096; ; size *= 4) {
    const entry: Partial<Passwd> = {};
    const result: unknown[] = [null];
    const status = lookups[call](key as number, entry, Buffer.alloc(size), size, result);
    if (status === erange && size < largestBuffer) continue;
    if (status === 0 && result[0] !== null && entry.name !== undefined && entry.id !== undefined) {
      return { name: entry.name, id: entry.id };
    }
    if (unknown.has(status)) return undefined;
    throw new SystemCallError(status, call, String(key));
  }
}

function cached<Key, Value>(find: (key: Key) => Value): (key: Key) => Value {
  const known = new Map<Key, Value>();
  return (key) => {
    const old = known.get(key);
    if (old !== undefined || known.has(key)) return old as Value;
    const found = find(key);
    known.set(key, found);
    return found;
  };
}

/** The user's name; undefined for ids that the host does not know, and for root, which is never named. */
export const userName: (uid: number) => string | undefined = cached((uid: number) =>
  uid === 0 ? undefined : lookup("getpwuid_r", uid)?.name,
);

/** The group's name; undefined for ids that the host does not know, and for root's group. */
export const groupName: (gid: number) => string | undefined = cached((gid: number) =>
  gid === 0 ? undefined : lookup("getgrgid_r", gid)?.name,
);

/** The uid of a user that the host knows. */
export const userId: (name: string) => number | undefined = cached((name: string) => lookup("getpwnam_r", name)?.id);

/** The gid of a group that the host knows. */
export const groupId: (name: string) => number | undefined = cached((name: string) => lookup("getgrnam_r", name)?.id);
