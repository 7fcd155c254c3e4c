/**
 * mkosi's project files: the INI dialect and the settings table, resolved to one ImageConfig.
 * @module
 */
export type { ConfigFiles, FileKind, FileStatus } from "./files.ts";
export { defaultInitrd } from "./default-initrd.ts";
export type { DefaultInitrd } from "./default-initrd.ts";
export { globMatches } from "./glob.ts";
export * from "./image-config.ts";
export { ownSettings } from "./own-config.ts";
export type { PublishConfig } from "./own-config.ts";
export { parseIni } from "./ini.ts";
export type { IniDocument, IniEntry, IniSection } from "./ini.ts";
export type { SettingValue } from "./kind.ts";
export { architectures, distributionNames } from "./names.ts";
export { formatOrigin, formatProblem, nearest } from "./problem.ts";
export type { Origin, Problem } from "./problem.ts";
export { settingsReference, settingsSchema } from "./reference.ts";
export type { ConfiguredImage } from "./configured.ts";
export { resolveConfig } from "./resolve.ts";
export type { ConsoleMode, Firmware, RuntimeConfig, RuntimeDrive } from "./runtime-config.ts";
export type { CommandLineItem, Resolution, ResolvedImage, ResolvedSetting, ResolveOptions } from "./resolve.ts";
export type {
  DefaultContext,
  HostFacts,
  SectionName,
  SettingDefinition,
  SettingOption,
  SettingScope,
} from "./setting.ts";
export { commandLineOptions, findSetting, settings } from "./settings.ts";
export type { CommandLineOption } from "./settings.ts";
export { compareVersions } from "./version.ts";
export { summaryJson, summaryText } from "./summary.ts";
export type { SummaryJson, SummaryTextOptions } from "./summary.ts";
