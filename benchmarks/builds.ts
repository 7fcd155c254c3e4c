/**
 * `npm run bench:builds -- MKOSI…`: measures builds beside mkosi, in one run on this machine with the same
 * mirror, settings and packages, and writes them into docs/benchmarks.md and docs/benchmarks.json.
 *
 * The words are the command that runs mkosi in the current folder, wherever mkosi is. Every project is on
 * tmpfs; packages were downloaded before by a build that is not measured. Needs root.
 * @module
 */
import { spawnSync } from "node:child_process";
import { appendFileSync, closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { measure } from "../scripts/measure.ts";
import { makeCpuGroup } from "./cpu-group.ts";
import { buildProgram } from "./program.ts";
import { readResults, writeResults } from "./report.ts";
import { median, type Sample } from "./statistics.ts";

const { values: flags, positionals: mkosi } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "3" },
    release: { type: "string", default: "trixie" },
    mirror: { type: "string" },
    // where the page and the JSON are: elsewhere for a trial
    output: { type: "string", default: join(import.meta.dirname, "../docs") },
  },
});
const work = "/dev/shm/imgtool-bench-builds";

interface Project {
  readonly name: string;
  readonly files: Readonly<Record<string, string>>;
}

const distribution = `[Distribution]\nDistribution=debian\nRelease=${flags.release}\n${
  flags.mirror === undefined ? "" : `Mirror=${flags.mirror}\n`
}`;
const caches = "PackageCacheDirectory=packages\n";

const folder: Project = {
  name: "a folder",
  files: {
    "mkosi.conf": `${distribution}[Output]\nFormat=directory\nOutput=system\n[Content]\nPackages=systemd,udev,dbus,apt\n[Build]\n${caches}`,
  },
};

const root = "[Partition]\nType=root\nFormat=squashfs\nMinimize=best\nCopyFiles=/\nVerity=data\nVerityMatchKey=root\n";
const bootable = (incremental: boolean): Project => ({
  name: incremental ? "a disk, Incremental=yes" : "a disk",
  files: {
    "mkosi.conf": `${distribution}[Output]\nFormat=disk\nOutput=system\n[Content]\nBootable=yes\nBootloader=systemd-boot\nPackages=systemd,udev,dbus,systemd-boot,systemd-boot-efi,linux-image-cloud-amd64\n[Build]\n${caches}${
      incremental ? "Incremental=yes\nCacheDirectory=cache\n" : ""
    }`,
    "mkosi.repart/00-esp.conf":
      "[Partition]\nType=esp\nFormat=vfat\nCopyFiles=/boot:/\nCopyFiles=/efi:/\nSizeMinBytes=512M\nSizeMaxBytes=512M\n",
    "mkosi.repart/10-root.conf": root,
    "mkosi.repart/20-verity.conf": "[Partition]\nType=root-verity\nVerity=hash\nVerityMatchKey=root\nMinimize=best\n",
    "mkosi.extra/etc/motd": "hello\n",
  },
});

rmSync(work, { recursive: true, force: true });
mkdirSync(work, { recursive: true });
const group = makeCpuGroup(`imgtool-bench-${process.pid}`);
try {
  const programs: Readonly<Record<string, readonly string[]>> = {
    ...(mkosi.length === 0 ? {} : { mkosi }),
    imgtool: [buildProgram(work)],
  };
  const samples: Sample[] = [];
  const build = async (project: string, program: string, name: string | undefined): Promise<void> => {
    const words = program === "imgtool" ? ["build", "--force"] : ["--force", "build"];
    const [command, ...args] = group.wrap([...(programs[program] ?? []), ...words]);
    const log = join(work, "log");
    const output = openSync(log, "w");
    const before = group.seconds();
    const waited = await measure(command ?? "", args, {
      cwd: join(project, program),
      stdio: ["ignore", output, output],
    });
    const measured = { ...waited, cpuSeconds: group.seconds() - before };
    closeSync(output);
    if (measured.exitCode !== 0)
      throw new Error(`${program} exited with ${measured.exitCode}:\n${readFileSync(log, "utf8")}`);
    console.error(
      `${(name ?? "(packages downloaded)").padEnd(60)} ${program.padEnd(8)} ${measured.seconds.toFixed(2)} s, CPU ${measured.cpuSeconds.toFixed(2)} s`,
    );
    if (name !== undefined) samples.push({ group: "Builds", name, program, ...measured });
  };
  const place = (project: Project, id: string): string => {
    const path = join(work, id);
    for (const program of Object.keys(programs))
      for (const [file, text] of Object.entries(project.files)) {
        mkdirSync(dirname(join(path, program, file)), { recursive: true });
        writeFileSync(join(path, program, file), text);
      }
    for (const program of Object.keys(programs)) mkdirSync(join(path, program, "packages"), { recursive: true });
    return path;
  };
  const all = Object.keys(programs);
  const [plain, disk, kept] = [place(folder, "folder"), place(bootable(false), "disk"), place(bootable(true), "kept")];
  for (const project of [plain, disk, kept]) for (const program of all) await build(project, program, undefined);
  for (let round = 0; round < Number(flags.rounds); round++) {
    for (const program of all) await build(plain, program, "a Debian folder: systemd, udev, dbus, apt");
    for (const program of all)
      await build(disk, program, "a bootable disk: cloud kernel, its own initrd, squashfs, verity");
    for (const program of all) {
      appendFileSync(join(kept, program, "mkosi.extra/etc/motd"), `changed ${round}\n`);
      await build(kept, program, "the disk again, Incremental=yes, one file of mkosi.extra changed");
      await build(kept, program, "the disk again, Incremental=yes, nothing changed");
    }
  }
  const release = readFileSync(join(plain, "imgtool/system/usr/lib/os-release"), "utf8");
  writeResults(flags.output, {
    ...readResults(flags.output),
    builds: {
      machine: { cpus: cpus().length, model: cpus()[0]?.model ?? "unknown", memory: totalmem() },
      rounds: Number(flags.rounds),
      distribution: /^PRETTY_NAME="(.*)"$/m.exec(release)?.[1] ?? flags.release,
      mkosi: mkosi.length === 0 ? undefined : version(mkosi),
      cases: median(samples, "mkosi"),
    },
  });
} finally {
  group.remove();
  rmSync(work, { recursive: true, force: true });
}

function version([command = "", ...args]: readonly string[]): string {
  const program = [...args, command].find((word) => /(?:^|\/)mkosi$/.test(word)) ?? "";
  const words = args.slice(0, args.indexOf(program) + 1);
  return spawnSync(command, [...words, "--version"], { encoding: "utf8" }).stdout.trim();
}
