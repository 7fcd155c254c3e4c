/**
 * From resolved settings to ImageConfig: the values that the build takes, in the types it takes them.
 * @module
 */
import type { Compression, Feature, ImageConfig, OutputFormat, ToolsTreeConfig, TreeSource } from "./image-config.ts";
import { textOf } from "./kind.ts";
import type { SettingValue } from "./kind.ts";
import { effective } from "./merge.ts";
import type { Effective } from "./merge.ts";
import { isBelow, normalizePath } from "./paths.ts";
import { pairOf } from "./kinds.ts";
import { diskFormats, formatName, subvolumeFormat } from "./settings/output.ts";
import { findSetting } from "./settings.ts";
import type { State } from "./state.ts";
import { newestInput } from "./source-date.ts";
import { readUkiProfiles } from "./uki-profiles.ts";

const compressionNames: Readonly<Record<string, Compression>> = {
  none: "none",
  zstd: "zstd",
  xz: "xz",
  gz: "gzip",
  bz2: "bz2",
  lz4: "lz4",
  lzma: "lzma",
};

/** The configuration of the image that the state describes. What cannot be built yet becomes an error. */
export function imageConfig(state: State, defaultSourceDateEpoch: number | undefined): ImageConfig {
  const get = (name: string): Effective => {
    const setting = findSetting(name);
    if (setting === undefined) throw new RangeError(`no setting ${name}`);
    return effective(setting, state);
  };
  const text = (name: string): string | undefined => {
    const { value } = get(name);
    return typeof value === "string" ? value : undefined;
  };
  const number = (name: string): number | undefined => {
    const { value } = get(name);
    return typeof value === "number" ? value : undefined;
  };
  const flag = (name: string): boolean => get(name).value === true;
  const strings = (name: string): string[] => stringsOf(get(name).value);
  const trees = (name: string): TreeSource[] => treesOf(get(name).value);
  const fail = (name: string, code: string, message: string, hint: string): void =>
    state.problems.error({ ...get(name).origins[0], code, message: `${name}=: ${message}`, hint, onlyForBuilds: true });

  const formatText = text("Format") ?? "disk";
  const format = formatName(formatText);

  const manifestFormats = strings("ManifestFormat");
  if (manifestFormats.includes("changelog")) {
    state.problems.warn({
      ...get("ManifestFormat").origins[manifestFormats.indexOf("changelog")],
      code: "manifest-unsupported",
      message: "ManifestFormat=changelog: imgtool does not write changelogs",
      hint: "ManifestFormat=json lists the packages with their versions; compare it with the last one",
    });
  }

  const verity = text("Verity") ?? "auto";
  const verityKey = text("VerityKey");
  const verityCertificate = text("VerityCertificate");
  const haveVerityKeys = verityKey !== undefined && verityCertificate !== undefined;
  if (verity === "signed" && !haveVerityKeys)
    fail(
      "Verity",
      "verity-key-missing",
      `signed needs ${verityKey === undefined ? "VerityKey=" : "VerityCertificate="}`,
      "make mkosi.key and mkosi.crt with: imgtool genkey",
    );
  const secureBoot = flag("SecureBoot");
  const secureBootKey = text("SecureBootKey");
  const secureBootCertificate = text("SecureBootCertificate");
  if (secureBoot && (secureBootKey === undefined || secureBootCertificate === undefined))
    fail(
      "SecureBoot",
      "secure-boot-key-missing",
      `yes needs ${secureBootKey === undefined ? "SecureBootKey=" : "SecureBootCertificate="}`,
      "name the files, or put them into mkosi.key and mkosi.crt",
    );
  const pcrFeature = featureValue(text("SignExpectedPcr"));
  const pcrKey = text("SignExpectedPcrKey");
  const pcrCertificate = text("SignExpectedPcrCertificate");
  const havePcrKeys = pcrKey !== undefined && pcrCertificate !== undefined;
  if (pcrFeature === "enabled" && !havePcrKeys)
    fail(
      "SignExpectedPcr",
      "pcr-key-missing",
      `yes needs ${pcrKey === undefined ? "SignExpectedPcrKey=" : "SignExpectedPcrCertificate="}`,
      "make mkosi.key and mkosi.crt with: imgtool genkey",
    );
  const signsPcrs = pcrFeature !== "disabled" && havePcrKeys;
  const sources = ["Verity", ...(secureBoot ? ["SecureBoot"] : []), ...(signsPcrs ? ["SignExpectedPcr"] : [])];
  for (const name of sources.flatMap((purpose) => [`${purpose}KeySource`, `${purpose}CertificateSource`])) {
    const { value } = get(name);
    if (typeof value === "object" && value !== null && "Type" in value && value["Type"] !== "file")
      fail(name, "key-source-unsupported", "only files are supported", `remove ${name}=`);
  }

  const loader = text("Bootloader") ?? "systemd-boot";
  const bootloader = loader.replace(/-signed$/, "");
  if (!isBootloader(bootloader))
    fail(
      "Bootloader",
      "bootloader-unsupported",
      `${loader} is not supported`,
      "use systemd-boot, uki, grub, one of them with -signed, or none",
    );
  const unified = text("UnifiedKernelImages") ?? "auto";

  const unifiedKernelImageProfiles = readUkiProfiles(
    strings("UnifiedKernelImageProfiles"),
    get("UnifiedKernelImageProfiles").origins,
    state,
  );

  const sandboxTrees = trees("SandboxTrees");
  const skeletonTrees = trees("SkeletonTrees");
  const extraTrees = trees("ExtraTrees");
  const scripts = {
    configureScripts: strings("ConfigureScripts"),
    syncScripts: strings("SyncScripts"),
    prepareScripts: strings("PrepareScripts"),
    buildScripts: strings("BuildScripts"),
    postInstallationScripts: strings("PostInstallationScripts"),
    finalizeScripts: strings("FinalizeScripts"),
    postOutputScripts: strings("PostOutputScripts"),
    cleanScripts: strings("CleanScripts"),
  };
  const ephemeralSources = text("BuildSourcesEphemeral") ?? "no";
  if (ephemeralSources === "buildcache")
    fail("BuildSourcesEphemeral", "sources-unsupported", "buildcache is not supported yet", "use yes or no");
  const repartDirectories = strings("RepartDirectories");
  const environmentFiles = strings("EnvironmentFiles");
  // What another image of the project makes is no input: it is not there in the first run.
  const outputs = text("OutputDirectory");
  const isInput = (path: string): boolean => outputs === undefined || !isBelow(path, outputs);
  const sourceDateEpoch =
    number("SourceDateEpoch") ??
    (flag("Reproducible") ? undefined : Math.floor(Date.now() / 1000)) ??
    defaultSourceDateEpoch ??
    newestInput(
      [
        ...state.read,
        ...[...sandboxTrees, ...skeletonTrees, ...extraTrees].map((tree) => tree.source),
        ...strings("BaseTrees"),
        ...Object.values(scripts).flat(),
        ...repartDirectories,
        ...environmentFiles,
      ].filter(isInput),
      state.files,
    );
  const output = text("Output") ?? "image";

  return {
    directory: state.directory,
    subImage: state.image,
    files: [...state.read],
    distribution: text("Distribution") ?? "debian",
    release: text("Release") ?? "",
    architecture: text("Architecture") ?? state.host.architecture,
    mirror: text("Mirror"),
    repositories: strings("Repositories"),
    localMirror: text("LocalMirror"),
    snapshot: text("Snapshot"),
    repositoryKeyCheck: flag("RepositoryKeyCheck"),
    repositoryKeyFetch: flag("RepositoryKeyFetch"),
    sandboxTrees,
    format,
    diskFile: diskFileOf(formatText),
    rootFilesystem: diskFormats[formatText] ?? "ext4",
    partitionSizes: {
      root: number("RootSize"),
      esp: number("ESPSize"),
      swap: number("SwapSize"),
      home: number("HomeSize"),
      srv: number("SrvSize"),
    },
    readOnly: flag("ReadOnly"),
    verity: verityOf(isExtension(format) && verity === "auto" ? "enabled" : verity, haveVerityKeys),
    verityKey,
    verityCertificate,
    encrypt: encryptOf(text("Encrypt")),
    passphraseFile: text("Passphrase"),
    output,
    outputDirectory: text("OutputDirectory") ?? state.directory,
    outputMode: number("OutputMode"),
    compressOutput: compressionNames[text("CompressOutput") ?? "none"] ?? "none",
    compressLevel: number("CompressLevel") ?? 3,
    imageId: text("ImageId"),
    imageVersion: text("ImageVersion"),
    seed: text("Seed") ?? "",
    sectorSize: number("SectorSize"),
    repartDirectories,
    // What is signed is the checksums.
    checksum: flag("Checksum") || flag("Sign"),
    sign: flag("Sign"),
    openPgpKey: text("Key"),
    splitArtifacts: strings("SplitArtifacts"),
    ociLabels: recordOf(get("OciLabels").value),
    ociAnnotations: recordOf(get("OciAnnotations").value),
    manifestFormat: manifestFormats.filter((format) => format !== "changelog"),
    packages: strings("Packages"),
    buildPackages: strings("BuildPackages"),
    volatilePackages: strings("VolatilePackages"),
    packageDirectories: strings("PackageDirectories"),
    volatilePackageDirectories: strings("VolatilePackageDirectories"),
    removePackages: strings("RemovePackages"),
    removeFiles: strings("RemoveFiles"),
    withRecommends: flag("WithRecommends"),
    withDocs: flag("WithDocs"),
    cleanPackageMetadata: cleansMetadata(text("CleanPackageMetadata") ?? "auto", format),
    baseTrees: strings("BaseTrees"),
    overlay: flag("Overlay"),
    skeletonTrees,
    extraTrees,
    ...scripts,
    nspawnSettings: text("NSpawnSettings"),
    secureBoot,
    secureBootKey,
    secureBootCertificate,
    secureBootAutoEnroll: flag("SecureBootAutoEnroll"),
    signExpectedPcr: signsPcrs ? { key: pcrKey, certificate: pcrCertificate } : undefined,
    bootable: featureValue(text("Bootable")),
    bootloader: isBootloader(bootloader) ? bootloader : "none",
    signedBootloader: loader.endsWith("-signed"),
    shimBootloader: shimOf(text("ShimBootloader")),
    biosBootloader: text("BiosBootloader") === "grub" ? "grub" : "none",
    unifiedKernelImages: unifiedOf(unified),
    unifiedKernelImageFormat: text("UnifiedKernelImageFormat"),
    unifiedKernelImageProfiles,
    initrds: strings("Initrds"),
    initrdPackages: strings("InitrdPackages"),
    initrdVolatilePackages: strings("InitrdVolatilePackages"),
    kernelCommandLine: strings("KernelCommandLine"),
    kernelModules: modulePatterns(strings, "KernelModules", "KernelModules"),
    kernelInitrdModules: modulePatterns(strings, "KernelInitrdModules", "KernelModulesInitrd"),
    kernelModulesInitrd: flag("KernelModulesInitrd"),
    firmwareFiles: strings("FirmwareFiles"),
    devicetree: text("Devicetree"),
    splash: text("Splash"),
    makeInitrd: flag("MakeInitrd"),
    sourceDateEpoch,
    incremental: incrementalOf(text("Incremental")),
    cacheOnly: cacheOnlyOf(text("CacheOnly")),
    cacheDirectory: text("CacheDirectory"),
    // Not mkosi's: resolveConfig() takes it from imgtool.conf.
    cacheStore: undefined,
    packageCacheDirectory:
      text("PackageCacheDirectory") ?? defaultPackageCache(text("CacheDirectory"), state.environment),
    toolsTree: text("ToolsTree") === "default" ? toolsTreeConfig({ text, strings, trees }) : text("ToolsTree"),
    toolsTreeCertificates: flag("ToolsTreeCertificates"),
    useSubvolumes: formatText === subvolumeFormat ? "enabled" : featureValue(text("UseSubvolumes")),
    workspaceDirectory: text("WorkspaceDirectory"),
    environment: environmentOf(environmentFiles, get("Environment").value, state),
    withNetwork: flag("WithNetwork"),
    proxyUrl: text("ProxyUrl"),
    proxyExclude: strings("ProxyExclude"),
    extraSearchPaths: strings("ExtraSearchPaths"),
    withTests: flag("WithTests"),
    profiles: strings("Profiles"),
    buildSources: trees("BuildSources"),
    buildSourcesEphemeral: ephemeralSources === "yes",
    scriptsOfFirstMkosi: state.read.some((path) => /\/mkosi\.default(\.d\/|$)/.test(path)),
    useGitFiles: flag("UseGitFiles"),
    buildDirectory: text("BuildDirectory"),
    hostname: text("Hostname"),
    timezone: text("Timezone"),
    locale: text("Locale"),
    localeMessages: text("LocaleMessages"),
    keymap: text("Keymap"),
    rootShell: text("RootShell"),
    machineId: text("MachineId"),
    autologin: flag("Autologin"),
    ssh: flag("Ssh"),
    selinuxRelabel: featureValue(text("SELinuxRelabel")),
    rootPassword: passwordOf(get("RootPassword").value),
  };
}

function encryptOf(value: string | undefined): ImageConfig["encrypt"] {
  return value === "data" || value === "all" ? value : "none";
}

/** Whoever takes an extension into a running system wants to know that it is whole. */
function isExtension(format: OutputFormat): boolean {
  return format === "sysext" || format === "confext" || format === "portable";
}

/** yes signs where there is a key to sign with. */
function verityOf(value: string, haveKeys: boolean): ImageConfig["verity"] {
  if (value === "defer") return value;
  if (value === "signed" || (value === "enabled" && haveKeys)) return "signed";
  return value === "enabled" || value === "hash" ? "hash" : "no";
}

function shimOf(value: string | undefined): ImageConfig["shimBootloader"] {
  return value === "signed" || value === "unsigned" ? value : "none";
}

function unifiedOf(value: string): ImageConfig["unifiedKernelImages"] {
  if (value === "signed") return value;
  return value === "unsigned" ? "enabled" : value === "none" ? "disabled" : featureValue(value);
}

function isBootloader(value: string): value is ImageConfig["bootloader"] {
  return value === "none" || value === "uki" || value === "systemd-boot" || value === "grub";
}

function featureValue(value: string | undefined): Feature {
  return value === "enabled" || value === "disabled" ? value : "auto";
}

/**
 * The patterns of today's setting, and of mkosi 25's pair: there Include= only saves from Exclude=, and
 * alone it has no effect.
 */
function modulePatterns(strings: (name: string) => string[], name: string, older: string): string[] {
  const excluded = strings(`${older}Exclude`).map((pattern) => `-${pattern}`);
  return [...excluded, ...(excluded.length > 0 ? strings(`${older}Include`) : []), ...strings(name)];
}

/** Below mkosi.cache/ where the project has one, else in the user's cache (XDG Base Directory Specification). */
function defaultPackageCache(
  cacheDirectory: string | undefined,
  environment: Readonly<Record<string, string>>,
): string | undefined {
  if (cacheDirectory !== undefined) return `${cacheDirectory}/packages`;
  const { XDG_CACHE_HOME: cache = "", HOME: home = "" } = environment;
  if (cache.startsWith("/")) return `${cache}/imgtool/packages`;
  return home.startsWith("/") ? `${home}/.cache/imgtool/packages` : undefined;
}

/** auto keeps what a package manager needs where the output is a tree that others may build upon. */
function cleansMetadata(value: string, format: OutputFormat): boolean {
  return value === "enabled" || (value === "auto" && format !== "directory" && format !== "tar");
}

function diskFileOf(format: string): ImageConfig["diskFile"] {
  return format === "qcow2" || format === "vmdk" || format === "vhdx" ? format : "raw";
}

function incrementalOf(value: string | undefined): ImageConfig["incremental"] {
  return value === "yes" || value === "strict" ? value : "no";
}

/** "auto" and "never" read the lists anew: where nothing has changed, that is one request for each. */
function cacheOnlyOf(value: string | undefined): ImageConfig["cacheOnly"] {
  if (value === "always") return "everything";
  return value === "metadata" ? "metadata" : "nothing";
}

/** The rows of ToolsTree=default. */
function toolsTreeConfig(get: {
  readonly text: (name: string) => string | undefined;
  readonly strings: (name: string) => string[];
  readonly trees: (name: string) => TreeSource[];
}): ToolsTreeConfig {
  return {
    distribution: get.text("ToolsTreeDistribution") ?? "debian",
    release: get.text("ToolsTreeRelease") ?? "",
    mirror: get.text("ToolsTreeMirror"),
    repositories: get.strings("ToolsTreeRepositories"),
    sandboxTrees: get.trees("ToolsTreeSandboxTrees"),
    packages: get.strings("ToolsTreePackages"),
    packageDirectories: get.strings("ToolsTreePackageDirectories"),
  };
}

function recordOf(value: SettingValue): Record<string, string> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return {};
  return Object.fromEntries(Object.entries(value).map(([name, text]) => [name, textOf(text)]));
}

function stringsOf(value: SettingValue): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
}

function treesOf(value: SettingValue): TreeSource[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((tree): TreeSource[] => {
    if (typeof tree !== "object" || tree === null || !("Source" in tree) || typeof tree["Source"] !== "string")
      return [];
    const target = tree["Target"];
    return [{ source: tree["Source"], target: normalizePath(`/${typeof target === "string" ? target : ""}`) }];
  });
}

function passwordOf(value: SettingValue): string | undefined {
  if (!Array.isArray(value)) return undefined;
  const [password, hashed] = value;
  return typeof password === "string" ? `${hashed === true ? "hashed:" : ""}${password}` : undefined;
}

/** The name of a sub-image, the variables of EnvironmentFiles=, then those of Environment=. */
function environmentOf(files: readonly string[], own: SettingValue, state: State): Record<string, string> {
  const pairs: [string, string][] = state.image === undefined ? [] : [["SUBIMAGE", state.image]];
  for (const file of files) {
    for (const line of (state.files.readText(file) ?? "").trim().split(/\r\n|\n|\r/)) {
      if (line !== "") pairs.push(pairOf(line, (name) => state.environment[name] ?? ""));
    }
  }
  if (typeof own === "object" && own !== null && !Array.isArray(own))
    for (const [name, value] of Object.entries(own)) pairs.push([name, textOf(value)]);
  return Object.fromEntries(pairs);
}
