/**
 * `npm run complete-lock`: adds the optional packages of other platforms that package-lock.json lacks.
 *
 * npm leaves an optional package out of the lock when the registry in use does not serve it (mirrors
 * often hold one platform's alone), and `npm ci` then refuses the lock everywhere. Run it after
 * `npm install` has changed the lock.
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";

interface LockedPackage {
  readonly version?: string;
  readonly dev?: boolean;
  readonly license?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const operatingSystems = [
  "aix",
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32",
];
const processors = ["arm", "arm64", "ia32", "loong64", "mips64el", "ppc64", "riscv64", "s390x", "x64"];

const path = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(path, "utf8")) as { packages: Record<string, LockedPackage> };
let added = 0;
for (const [parent, { optionalDependencies = {}, dev, license }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    if (lock.packages[`node_modules/${name}`] !== undefined) continue;
    if (lock.packages[`${parent}/node_modules/${name}`] !== undefined) continue;
    const words = (name.split("/").at(-1) ?? "").replace("windows", "win32").split(/[-_]/);
    const os = operatingSystems.filter((word) => words.includes(word));
    const cpu = processors.filter((word) => words.includes(word));
    // Only platform packages with an exact version: anything else is for npm to resolve.
    if (!/^\d+\.\d+\.\d+$/.test(version) || (os.length === 0 && cpu.length === 0)) continue;
    lock.packages[`node_modules/${name}`] = {
      version,
      ...(cpu.length === 0 ? {} : { cpu }),
      ...(dev === undefined ? {} : { dev }),
      ...(license === undefined ? {} : { license }),
      optional: true,
      ...(os.length === 0 ? {} : { os }),
    } as LockedPackage;
    added++;
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(path, `${JSON.stringify(lock, undefined, 2)}\n`);
console.log(`${added} optional packages added`);
