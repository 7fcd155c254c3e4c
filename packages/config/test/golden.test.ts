// Every project of the corpus resolves as the real mkosi resolved it (golden.json, made by make-golden.ts).
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { formatProblem, summaryJson } from "../src/index.ts";
import type { Resolution, SettingValue } from "../src/index.ts";
import { corpus } from "./corpus.ts";
import { resolveProject } from "./project.ts";

type Settings = Readonly<Record<string, SettingValue>>;

interface Golden {
  readonly base: Readonly<Record<string, SettingValue>>;
  readonly cases: Readonly<
    Record<string, { readonly error?: true; readonly changed?: Settings; readonly subImages?: readonly Settings[] }>
  >;
}

const golden = JSON.parse(readFileSync(join(import.meta.dirname, "golden.json"), "utf8")) as Golden;

/** Settings that differ on purpose. */
const exceptions: ReadonlySet<string> = new Set([
  // Derived, never random; made sure of where a case sets it.
  "Seed",
  // Always known in the end: the newest input's time, where nothing sets it.
  "SourceDateEpoch",
  // Debian's testing there, a stable release here.
  "ToolsTreeRelease",
]);

/** Settings that differ on purpose in some cases. */
function isException(name: string, key: string): boolean {
  // mkosi forgets in Files what --include named.
  if (name === "order: include by option") return key === "Files";
  // mkosi has a preset that disables all services; imgtool takes out what their packages have enabled.
  return key === "RemoveFiles" && /^builtin: (mkosi-initrd in|an initrd)/.test(name);
}

const refused = Object.keys(corpus).filter((name) => golden.cases[name]?.error === true);
const accepted = Object.keys(corpus).filter((name) => !refused.includes(name));

/** golden.json leaves out of Environment what is the same in every project: the name of a sub-image. */
function withoutName(image: Settings): Settings {
  const environment = image["Environment"] as Settings;
  const { SUBIMAGE: name = null, ...others } = environment;
  expect(name).toBe(image["Image"]);
  return { ...image, Environment: others };
}

function resolveCase(name: string): Resolution {
  const entry = corpus[name];
  if (entry === undefined || (name !== "empty" && golden.cases[name] === undefined))
    throw new Error(`${name} is not in golden.json: run make-golden.ts`);
  const files = Object.entries(entry.files).map(([path, text]) => [
    path,
    path.endsWith("/") ? text : { text, mode: entry.executable?.includes(path) === true ? 0o750 : 0o640 },
  ]);
  return resolveProject(Object.fromEntries(files), {
    options: (entry.options ?? []).map(([setting, , value]) => `${setting}=${value}`),
    environment: { HOME: "/root" },
    // The one program of the corpus.
    runText: () => "3.14\n",
  });
}

test.each(refused)("mkosi refuses %s", (name) => {
  const { config, errors } = resolveCase(name);
  expect(config).toBeUndefined();
  expect(errors.map((problem) => formatProblem(problem))).not.toEqual([]);
});

test.each(accepted)("mkosi resolves %s", (name) => {
  const resolution = resolveCase(name);
  const mistakes = resolution.errors.filter(({ onlyForBuilds }) => onlyForBuilds !== true);
  expect(mistakes.map((problem) => formatProblem(problem))).toEqual([]);
  const expected = [...(golden.cases[name]?.subImages ?? []), golden.cases[name]?.changed ?? {}];
  const images = summaryJson(resolution).Images;
  expect(images).toHaveLength(expected.length);
  for (const [index, changed] of expected.entries()) {
    const wanted = { ...golden.base, ...changed };
    const compared = Object.keys(wanted).filter(
      (key) => !isException(name, key) && (!exceptions.has(key) || changed[key] !== undefined),
    );
    const actual = withoutName(images[index] ?? {});
    expect(Object.fromEntries(compared.map((key) => [key, actual[key]]))).toEqual(
      Object.fromEntries(compared.map((key) => [key, wanted[key]])),
    );
  }
});
