/**
 * A project whose scripts report what they are given, for mkosi and for imgtool.
 * @module
 */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The points in the order in which a build comes to them; "prepare" runs twice. */
export const points = ["clean", "sync", "prepare", "build", "postinst", "finalize", "postoutput"] as const;

/** What one run of a script was given. */
export interface ScriptReport {
  readonly point: string;
  readonly args: string;
  readonly folder: string;
  /** Files in /work. */
  readonly work: readonly string[];
  readonly writable: readonly string[];
  /** More than the loopback device. */
  readonly network: boolean;
  readonly variables: Readonly<Record<string, string>>;
}

const reporter = `#!/bin/bash
point=$1; shift
{
  echo "report-begin $point"
  echo "args $*"
  echo "folder $PWD"
  for file in /work/*; do echo "work \${file#/work/}"; done
  for folder in /work/src /work/dest /work/build /work/out /work/artifacts /buildroot /usr /; do
    if [ -d "$folder" ] && touch "$folder/.probe" 2>/dev/null; then rm "$folder/.probe"; echo "writable $folder"; fi
  done
  [ "$(grep -c : /proc/net/dev)" -gt 1 ] && echo network
  env | while IFS= read -r line; do echo "variable $line"; done
  echo "report-end"
} >&2
`;

const configuration = `[Distribution]
Distribution=custom
[Output]
Format=directory
ImageId=thing
ImageVersion=7
[Build]
Environment=MINE=yes
`;

/** Writes the project. */
export function writeScriptProject(folder: string): void {
  writeFileSync(join(folder, "mkosi.conf"), configuration);
  writeFileSync(join(folder, "report"), reporter);
  chmodSync(join(folder, "report"), 0o755);
  for (const point of points) {
    const path = join(folder, `mkosi.${point}`);
    writeFileSync(path, `#!/bin/bash\n/work/src/report ${point} "$@"\n`);
    chmodSync(path, 0o755);
  }
  for (const name of ["usr/bin", "usr/lib", "usr/lib64", "etc"])
    mkdirSync(join(folder, "mkosi.skeleton", name), { recursive: true });
  writeFileSync(join(folder, "mkosi.skeleton/usr/lib/os-release"), "ID=custom\n");
  mkdirSync(join(folder, "mkosi.builddir"));
}

/** Variables of the shell and of the host, and those that one of the two programs alone has for itself: MKOSI_DEBUG is mkosi 26's. */
const noise = /^(?:_|HOME|LANG|LC_ALL|PATH|PWD|OLDPWD|SHLVL|TERM|TZ|MKOSI_DEBUG|SYSTEMD_.*|SOURCE_DATE_EPOCH)$/;

/** The reports in a build's output. */
export function readReports(lines: readonly string[]): ScriptReport[] {
  const reports: ScriptReport[] = [];
  let report = { point: "", args: "", folder: "", work: [""], writable: [""], network: false, variables: new Map() };
  for (const line of lines) {
    const [word = "", rest = ""] = /^(\S+) ?(.*)$/.exec(line)?.slice(1) ?? [];
    if (word === "report-begin")
      report = { point: rest, args: "", folder: "", work: [], writable: [], network: false, variables: new Map() };
    else if (word === "args") report.args = rest;
    else if (word === "folder") report.folder = rest;
    else if (word === "work") report.work.push(rest);
    else if (word === "writable") report.writable.push(rest);
    else if (word === "network") report.network = true;
    else if (word === "variable") {
      const [name = "", value = ""] = /^([^=]*)=(.*)$/.exec(rest)?.slice(1) ?? [];
      if (name !== "" && !noise.test(name)) report.variables.set(name, value);
    } else if (word === "report-end") {
      const variables = [...report.variables].sort(([a], [b]) => (a < b ? -1 : 1)) as [string, string][];
      reports.push({ ...report, work: report.work.sort(), variables: Object.fromEntries(variables) });
    }
  }
  return reports;
}
