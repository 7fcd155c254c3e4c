// Writes golden.json: what the real mkosi makes of the corpus. Needs mkosi on PATH and about a minute:
//   node --conditions=@imgtool/source packages/config/test/make-golden.ts
// MKOSI_HOST_DISTRIBUTION and MKOSI_HOST_RELEASE make every machine look like the one of the tests.
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { corpus } from "./corpus.ts";
import type { CorpusCase } from "./corpus.ts";

type Settings = Record<string, unknown>;

/** The settings of each image, the main one last, or undefined where mkosi refuses the project. */
function summary(entry: CorpusCase): Settings[] | undefined {
  const directory = mkdtempSync(join(tmpdir(), "imgtool-golden-"));
  try {
    for (const [name, text] of Object.entries(entry.files)) {
      const path = join(directory, name);
      mkdirSync(name.endsWith("/") ? path : dirname(path), { recursive: true });
      if (!name.endsWith("/")) writeFileSync(path, text, { mode: 0o640 });
    }
    for (const name of entry.executable ?? []) chmodSync(join(directory, name), 0o750);
    const options = (entry.options ?? []).map(([, option, value]) => `${option}=${value}`);
    const env = { ...process.env, MKOSI_HOST_DISTRIBUTION: "debian", MKOSI_HOST_RELEASE: "trixie" };
    const result = spawnSync("mkosi", ["--json", ...options, "summary"], { cwd: directory, env, encoding: "utf8" });
    if (result.status !== 0) return undefined;
    const images = (JSON.parse(result.stdout) as { Images: Settings[] }).Images;
    return normalize(images, entry);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The project's path becomes /project; what depends on the machine and the run goes. */
function normalize(images: readonly Settings[], entry: CorpusCase): Settings[] {
  const folders = ((images.at(-1) ?? {})["Files"] as string[]).map((file) => dirname(file));
  const own = folders.reduce((shortest, folder) => (folder.length < shortest.length ? folder : shortest));
  const root = new RegExp(`${own.replace(/[^\w/]/g, "\\$&")}(?=[/" ])`, "g");
  return images.map((image) => {
    const settings = JSON.parse(JSON.stringify(image).replace(root, "/project")) as Settings;
    const environment = Object.entries(settings["Environment"] as Record<string, string>);
    settings["Environment"] = Object.fromEntries(
      environment.filter(([name]) => !/^(SYSTEMD_|TERM$|IMAGE_|SOURCE_|SUBIMAGE$)/.test(name)),
    );
    // What mkosi itself brings along lies elsewhere.
    for (const name of ["Files", "ExtraTrees"])
      settings[name] = (settings[name] as unknown[]).filter(
        (value) => !JSON.stringify(value).includes("/resources/mkosi-"),
      );
    if (!/seed/i.test(JSON.stringify(entry))) delete settings["Seed"];
    return settings;
  });
}

/** What differs from the empty project. */
function changes(image: Settings, base: Settings): Settings {
  return Object.fromEntries(
    Object.entries(image).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(base[key])),
  );
}

const version = spawnSync("mkosi", ["--version"], { encoding: "utf8" }).stdout.trim();
const base = summary(corpus["empty"] ?? { files: {} })?.at(-1);
if (base === undefined) throw new Error("mkosi refuses an empty project");
const cases: Record<string, unknown> = {};
for (const [name, entry] of Object.entries(corpus)) {
  if (name === "empty") continue;
  const [main, ...others] = summary(entry)?.toReversed() ?? [];
  if (main === undefined) cases[name] = { error: true };
  else {
    const subImages = others.toReversed().map((image) => changes(image, base));
    cases[name] = { changed: changes(main, base), ...(subImages.length > 0 ? { subImages } : {}) };
  }
}
const path = join(import.meta.dirname, "golden.json");
writeFileSync(path, `${JSON.stringify({ program: version, base, cases }, undefined, 1)}\n`);
