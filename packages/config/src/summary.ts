/**
 * What a project resolves to, for people and for programs. The JSON has the form of
 * `mkosi --json summary`: `{"Images": [{setting: value}]}`.
 * @module
 */
import { formatSize } from "@imgtool/core";
import type { SettingValue } from "./kind.ts";
import { formatOrigin } from "./problem.ts";
import type { Resolution, ResolvedImage, ResolvedSetting } from "./resolve.ts";
import { sectionNames } from "./settings.ts";
import { profilesSetting, summaryProfiles } from "./uki-profiles.ts";

export interface SummaryJson {
  readonly Images: readonly Readonly<Record<string, SettingValue>>[];
}

/** The resolved settings by name, sorted, in mkosi's forms; besides them Files and Image. The main image is last. */
export function summaryJson(resolution: Resolution): SummaryJson {
  return { Images: [...resolution.subImages, resolution].map((image) => imageJson(image)) };
}

function imageJson(image: ResolvedImage): Readonly<Record<string, SettingValue>> {
  const entries: [string, SettingValue][] = finalValues(image).map(({ name, value }) => [
    name,
    // What is in the files, not where they are.
    name === profilesSetting && image.config !== undefined
      ? summaryProfiles(image.config.unifiedKernelImageProfiles)
      : value,
  ]);
  entries.push(["Files", image.files], ["Image", image.image ?? null]);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

export interface SummaryTextOptions {
  /** Paths below it are shown relative to it in origins. */
  readonly directory?: string;
  /** Show every setting, not only those that imgtool acts on or that are set. Default false. */
  readonly all?: boolean;
}

/** The settings by section, aligned, each with the place it was written at. Ends with a line end. */
export function summaryText(resolution: Resolution, options: SummaryTextOptions = {}): string {
  const main = imageText(resolution, options);
  if (resolution.subImages.length === 0) return main;
  const others = resolution.subImages.map((image) => `Image ${image.image ?? ""}\n\n${imageText(image, options)}`);
  return [...others, `Main image\n\n${main}`].join("\n");
}

function imageText(image: ResolvedImage, options: SummaryTextOptions): string {
  const shown = shownValues(image).filter((setting) => options.all === true || setting.supported || !setting.isDefault);
  const width = Math.max(0, ...shown.map((setting) => setting.name.length));
  const lines: string[] = [];
  for (const section of sectionNames) {
    const rows = shown.filter((setting) => setting.section === section);
    if (rows.length === 0) continue;
    if (lines.length > 0) lines.push("");
    lines.push(`[${section}]`);
    for (const row of rows) {
      const values = valueLines(row);
      for (const [index, value] of values.entries()) {
        const place = placeOf(row, index, values.length, options.directory);
        const label = index === 0 ? `${row.name}:` : "";
        lines.push(`${label.padStart(width + 2)} ${value}${place === "" ? "" : `  (${place})`}`);
      }
    }
  }
  return `${lines.join("\n")}\n`;
}

/** Settings whose final value the build computes are shown with that value. */
function finalValues({ values, config }: ResolvedImage): readonly ResolvedSetting[] {
  if (config === undefined) return values;
  return values.map((setting) => {
    if (setting.name === "SourceDateEpoch") return { ...setting, value: config.sourceDateEpoch };
    if (setting.name === "Checksum") return { ...setting, value: config.checksum };
    if (setting.name === "Environment") return { ...setting, value: { ...config.environment } };
    return setting;
  });
}

/** For people also those that mkosi's JSON has as null where they are not set. */
function shownValues(image: ResolvedImage): readonly ResolvedSetting[] {
  const { config } = image;
  const values = finalValues(image);
  if (config === undefined) return values;
  const computed: Readonly<Record<string, SettingValue>> = {
    OutputDirectory: config.outputDirectory,
    SectorSize: config.sectorSize ?? 512,
    CleanPackageMetadata: config.cleanPackageMetadata,
    Verity: config.verity,
  };
  return values.map((setting) => {
    const value = Object.hasOwn(computed, setting.name) ? computed[setting.name] : undefined;
    return value === undefined ? setting : { ...setting, value };
  });
}

function valueLines({ name, value }: ResolvedSetting): string[] {
  if (name === "RootPassword") return [value === null ? "none" : "(set)"];
  if (Array.isArray(value)) return value.length === 0 ? ["none"] : value.map((item) => valueText(item));
  if (typeof value === "object" && value !== null && !("Type" in value)) {
    const pairs = Object.entries(value).map(([key, item]) =>
      // Credentials are secrets as a rule; their names say enough.
      name === "Credentials" ? key : `${key}=${valueText(item)}`,
    );
    return pairs.length === 0 ? ["none"] : pairs;
  }
  if (typeof value === "number" && name === "RAM") return [formatSize(value)];
  return [valueText(value)];
}

function valueText(value: SettingValue): string {
  if (value === null || value === "") return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "object") return String(value);
  if ("Source" in value) {
    const { Source: source, Target: target, Type: type } = value;
    if (type !== undefined) return source === "" ? valueText(type) : `${valueText(type)}:${valueText(source ?? null)}`;
    return target === null || target === undefined
      ? valueText(source ?? null)
      : `${valueText(source ?? null)}:${valueText(target)}`;
  }
  return JSON.stringify(value);
}

/** One place for all items where it is the same, else each item's own. */
function placeOf(row: ResolvedSetting, index: number, count: number, directory: string | undefined): string {
  const places = row.origins.map((origin) => formatOrigin(origin, directory));
  const same = places.every((place) => place === places[0]);
  if (same || places.length !== count)
    return index === 0 ? (places.length === count || same ? (places[0] ?? "") : [...new Set(places)].join(", ")) : "";
  return places[index] ?? "";
}
