// Writes debian-sources-golden.json: what the real mkosi makes of the projects in Debian's source packages.
//   node --conditions=@imgtool/source apps/imgtool/test/make-debian-sources-golden.ts MKOSI-25.3 MKOSI-14
// The arguments are programs that run in the current directory, of Debian 13 and Debian 12.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { comparable, fetchProject, listed, sourcePackages, writeGolden } from "./debian-sources.ts";

const [newer = "mkosi", older = "mkosi"] = process.argv.slice(2);
const summaries: Record<string, Record<string, Readonly<Record<string, unknown>>>> = {};
for (const [name, { mkosi, distributions }] of Object.entries(sourcePackages)) {
  summaries[name] = {};
  for (const distribution of distributions) {
    const folder = mkdtempSync(join(tmpdir(), "imgtool-golden-"));
    try {
      const missing = await fetchProject(name, folder);
      if (missing !== undefined) throw new Error(missing);
      const [program, args] =
        mkosi === "14" ? [older, ["-d", distribution, "summary"]] : [newer, ["--json", "-d", distribution, "summary"]];
      const { stdout, stderr, status } = spawnSync(program, args, { cwd: folder, encoding: "utf8" });
      if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${stderr}`);
      summaries[name][distribution] =
        mkosi === "14"
          ? // the text goes to standard error
            {
              Release: listed(stderr, "Release")[0],
              Packages: listed(stderr, "Packages"),
              BuildPackages: listed(stderr, "Build Packages"),
            }
          : comparable((JSON.parse(stdout) as { Images: Record<string, unknown>[] }).Images[0] ?? {}, folder);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
}
writeGolden({ summaries });
