/**
 * What the settings table says, for people and for programs: a reference page, and a JSON schema of what
 * `imgtool summary --json` prints.
 * @module
 */
import type { SettingValue } from "./kind.ts";
import { ownSettings } from "./own-config.ts";
import { optionName } from "./setting.ts";
import type { SettingDefinition } from "./setting.ts";
import { sectionNames, settings } from "./settings.ts";

/** The reference of all settings, Markdown. */
export function settingsReference(): string {
  const parts = [
    "# Settings",
    "",
    "Written by `imgtool documentation`; do not edit. The settings are mkosi's, in `mkosi.conf` and the files beside it; each is an option of the command line, too. Those that nothing acts on yet are marked *not yet*: they are read and shown, and a build that sets one warns.",
    "",
  ];
  for (const section of sectionNames) {
    parts.push(`## [${section}]`, "", "| setting | option | takes | |", "| --- | --- | --- | --- |");
    for (const setting of settings.filter((one) => one.section === section)) parts.push(row(setting));
    parts.push("");
  }
  parts.push(
    "# imgtool.conf",
    "",
    "What mkosi does not know, in a file that it does not read: `imgtool.conf` beside `mkosi.conf`, in the same dialect, and `imgtool.local.conf` for one machine's own values. A relative path follows the file's folder. What is given on the command line counts more.",
    "",
  );
  for (const [section, rows] of Map.groupBy(ownSettings, (one) => one.section)) {
    parts.push(`## [${section}]`, "", "| setting | takes | |", "| --- | --- | --- |");
    for (const { name, form, help } of rows) parts.push(`| ${code(`${name}=`)} | ${form} | ${help}. |`);
    parts.push("");
  }
  return parts.join("\n");
}

function row(setting: SettingDefinition): string {
  const { name, kind, option, files = [], aliases = [], match, specifier, supported } = setting;
  const choices = kind.choices ?? [];
  const notes = [
    `${setting.help}.`,
    ...(supported ? [] : ["*Not yet.*"]),
    ...(typeof setting.default === "string" ||
    typeof setting.default === "number" ||
    typeof setting.default === "boolean"
      ? [`Default: ${typeof setting.default === "boolean" ? (setting.default ? "yes" : "no") : setting.default}.`]
      : []),
    ...(files.length === 0 ? [] : [`Set by the file${files.length === 1 ? "" : "s"} ${files.map(code).join(", ")}.`]),
    ...(aliases.length === 0 ? [] : [`Once named ${aliases.map(code).join(", ")}.`]),
    ...(match === undefined ? [] : ["Can stand in [Match]."]),
    ...(specifier === undefined ? [] : [`Specifier ${code(`%${specifier}`)}.`]),
  ];
  const short = option?.short === undefined ? "" : `${code(`-${option.short}`)}, `;
  const takes = choices.length > 0 && choices.length <= 12 ? choices.join(", ") : kind.form;
  const cells = [code(`${name}=`), `${short}${code(`--${optionName(setting)}`)}`, takes, notes.join(" ")];
  return `| ${cells.map((cell) => cell.replaceAll("|", String.raw`\|`)).join(" | ")} |`;
}

function code(text: string): string {
  return `\`${text}\``;
}

/** A JSON schema (draft 2020-12) of the summary of a project: `{"Images": [{setting: value}]}`. */
export function settingsSchema(): Readonly<Record<string, unknown>> {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "The resolved settings of a project",
    type: "object",
    required: ["Images"],
    properties: {
      Images: {
        type: "array",
        items: {
          type: "object",
          properties: Object.fromEntries(settings.map((setting) => [setting.name, valueSchema(setting)])),
        },
      },
    },
  };
}

function valueSchema({ kind, help, default: fallback }: SettingDefinition): Readonly<Record<string, unknown>> {
  const known = typeof fallback === "function" ? undefined : fallback;
  const common = { description: help, ...(isPlain(known) ? { default: known } : {}) };
  if (kind.shape === "list") return { ...common, type: "array" };
  if (kind.shape === "dictionary") return { ...common, type: "object" };
  return { ...common, type: ["string", "number", "boolean", "object", "array", "null"] };
}

function isPlain(value: SettingValue | undefined): boolean {
  return value !== undefined && value !== null;
}
