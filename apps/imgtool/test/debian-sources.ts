/**
 * The projects that Debian's source packages ship, and what the real mkosi makes of them
 * (debian-sources-golden.json, made by make-debian-sources-golden.ts).
 * @module
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "@imgtool/testkit";

export interface SourcePackage {
  /** Below the mirror's pool/main/. */
  readonly path: string;
  readonly sha256: string;
  /** What is taken out of the tarball. */
  readonly members: readonly string[];
  /** Folders that the project names and its developers have. */
  readonly folders: readonly string[];
  /** The mkosi that it was written for. */
  readonly mkosi: "25.3" | "14";
  /** What it is built for. */
  readonly distributions: readonly string[];
}

export const sourcePackages: Readonly<Record<string, SourcePackage>> = {
  mkosi: {
    path: "m/mkosi/mkosi_25.3.orig.tar.gz",
    sha256: "7b039fb3b34e1680173a7f4af1bc24b475465afe335c8b21c213167734061e35",
    members: ["*/mkosi.*"],
    folders: [],
    mkosi: "25.3",
    distributions: ["debian", "ubuntu", "kali", "fedora", "centos", "opensuse", "arch", "azure"],
  },
  casync: {
    path: "c/casync/casync_2+20201210.orig.tar.gz",
    sha256: "e9904ce0176d4ea0d5ccc1098eae00910b293bf992b7bd81ae85572ddad7f2a8",
    members: ["mkosi.*"],
    folders: [],
    mkosi: "14",
    distributions: ["fedora"],
  },
  systemd: {
    path: "s/systemd/systemd_252.39.orig.tar.gz",
    sha256: "08a54a6c4d4cf969fc025eaa8922a55d6bc458100c242510b56c96e7d72af1c5",
    members: ["*/mkosi.*"],
    folders: ["build"],
    mkosi: "14",
    distributions: ["debian", "ubuntu", "fedora", "opensuse", "arch"],
  },
};

/**
 * Fetches a source package and unpacks its project into a folder.
 * @returns why it cannot be had, or undefined
 */
export async function fetchProject(name: string, folder: string): Promise<string | undefined> {
  const source = sourcePackages[name];
  if (source === undefined) throw new Error(`no source package ${name}`);
  const targets = run("apt-get", ["indextargets", "--format", "$(REPO_URI)"]);
  for (const mirror of new Set(targets.split("\n").filter((line) => line.startsWith("http")))) {
    const answer = await fetch(new URL(`pool/main/${source.path.replace("+", "%2B")}`, mirror)).catch(() => undefined);
    if (answer?.ok !== true) continue;
    const bytes = Buffer.from(await answer.arrayBuffer());
    if (createHash("sha256").update(bytes).digest("hex") !== source.sha256) return `${source.path} is another one`;
    const wildcards = ["--wildcards", ...source.members];
    const depth = source.members.some((member) => member.startsWith("*/")) ? ["--strip-components=1"] : [];
    const unpacked = spawnSync("tar", ["-xz", "-C", folder, ...depth, ...wildcards], { input: bytes });
    if (unpacked.status !== 0) throw new Error(unpacked.stderr.toString());
    for (const made of source.folders) mkdirSync(join(folder, made));
    return undefined;
  }
  return `no mirror of this machine has ${source.path}`;
}

/** Which machine, and which run, made a summary. */
const incidental = new Set(["Seed", "SourceDateEpoch", "ToolsTreeRelease", "ProxyPeerCertificate"]);

type Settings = Readonly<Record<string, unknown>>;

/** The summary's settings without what depends on the machine and the run. */
export function comparable(settings: Settings, folder: string): Settings {
  const text = JSON.stringify(settings).replaceAll(`${folder}/`, "/project/").replaceAll(`"${folder}"`, '"/project"');
  const own = JSON.parse(text) as Record<string, unknown>;
  const environment = own["Environment"] as Record<string, string>;
  own["Environment"] = Object.fromEntries(
    Object.entries(environment).filter(([key]) => !/^(SYSTEMD_|TERM$|IMAGE_|SOURCE_|SUBIMAGE$)/.test(key)),
  );
  for (const key of ["Files", "ExtraTrees"])
    own[key] = (own[key] as unknown[]).filter((value) => !JSON.stringify(value).includes("/resources/mkosi-"));
  return Object.fromEntries(Object.entries(own).filter(([key]) => !incidental.has(key)));
}

/** What mkosi 14's summary, a text, says of a setting: its values. */
export function listed(summary: string, title: string): string[] {
  const lines = summary.split("\n");
  const from = lines.findIndex((line) => line.trimStart().startsWith(`${title}: `));
  if (from < 0) throw new Error(`mkosi's summary has no ${title}`);
  const next = lines.findIndex((line, index) => index > from && /^\s*\S.*?: |^$/.test(line));
  return lines
    .slice(from, next)
    .map((line) => line.replace(`${title}: `, "").trim())
    .filter((value) => value !== "none");
}

export interface Golden {
  /** By package and distribution. */
  readonly summaries: Readonly<Record<string, Readonly<Record<string, Settings>>>>;
}

export function writeGolden(golden: Golden): void {
  writeFileSync(join(import.meta.dirname, "debian-sources-golden.json"), `${JSON.stringify(golden, undefined, 2)}\n`);
}
