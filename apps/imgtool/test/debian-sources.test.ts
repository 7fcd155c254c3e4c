/**
 * The projects that Debian's source packages ship are to imgtool what they are to mkosi.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { needPrograms, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { cli } from "./cli.ts";
import { comparable, fetchProject, type Golden, sourcePackages } from "./debian-sources.ts";

const golden = JSON.parse(readFileSync(join(import.meta.dirname, "debian-sources-golden.json"), "utf8")) as Golden;

type Settings = Readonly<Record<string, unknown>>;

for (const [name, { distributions, mkosi }] of Object.entries(sourcePackages))
  test(`the project of the source package ${name}`, { tags: ["system"] }, async (context) => {
    needPrograms(context, "apt-get", "tar");
    using folder = temporaryFolder();
    const missing = await fetchProject(name, folder.path);
    if (missing !== undefined) return context.skip(missing);
    for (const distribution of distributions) {
      const run = cli(["--json", "-d", distribution, "summary"], { cwd: folder.path });
      expect(run.exitCode, run.stdout + run.stderr).toBe(0);
      const images = (JSON.parse(run.stdout) as { Images: Settings[] }).Images;
      const image = comparable(images.at(-1) ?? {}, folder.path);
      const wanted = golden.summaries[name]?.[distribution] ?? {};
      // mkosi 14 does not repeat a package
      const once = (value: unknown): unknown => (mkosi === "14" && Array.isArray(value) ? [...new Set(value)] : value);
      const found = Object.fromEntries(Object.keys(wanted).map((key) => [key, once(image[key])]));
      expect(found, `${name} for ${distribution}`).toEqual(wanted);
    }
    return undefined;
  });
