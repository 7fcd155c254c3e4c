/**
 * [Build]: how the build itself goes about it.
 * @module
 */
import { textOf } from "../kind.ts";
import { boolean, choice, choiceParser, feature, pairs, text, texts } from "../kinds.ts";
import { distributionNames, findDistribution } from "../names.ts";
import { path, paths, trees } from "../path-kinds.ts";
import { normalizePath } from "../paths.ts";
import { equals, rowsOf } from "../setting.ts";
import type { SettingDefinition, SettingDetails } from "../setting.ts";

const row = rowsOf("Build");
const universal: SettingDetails = { scope: "universal" };
const switchOption: SettingDetails = { option: { argument: "BOOL", optional: true } };
const proxyVariables = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"];

export const buildSettings: readonly SettingDefinition[] = [
  row("ToolsTree", path({ words: ["default"] }), "Tree with the build tools, instead of this machine's", {
    supported: true,
    ...universal,
    files: ["mkosi.tools"],
    option: { argument: "PATH", optional: true, constant: "default" },
  }),
  row("ToolsTreeDistribution", choice(distributionNames), "Distribution of the tools tree", {
    supported: true,
    default: ({ host }) => host.distribution ?? "custom",
    match: equals(choiceParser(distributionNames)),
  }),
  row("ToolsTreeRelease", text, "Release of the tools tree", {
    supported: true,
    default: ({ value }) => findDistribution(textOf(value("ToolsTreeDistribution")))?.defaultRelease ?? null,
    match: equals((text) => text),
    option: { argument: "NAME" },
  }),
  row("ToolsTreeProfiles", texts("profile names"), "Profiles of the tools tree", {
    option: { long: "tools-tree-profile", argument: "NAME" },
  }),
  row("ToolsTreeMirror", text, "Mirror of the tools tree", {
    supported: true,
    default: ({ value }) => (value("Distribution") === value("ToolsTreeDistribution") ? value("Mirror") : null),
    option: { argument: "URL" },
  }),
  row("ToolsTreeRepositories", texts("repository names"), "Further repositories of the tools tree", {
    supported: true,
    option: { long: "tools-tree-repository", argument: "NAME" },
  }),
  row("ToolsTreeSandboxTrees", trees({ required: true }), "Trees to copy over the tools tree's sandbox", {
    supported: true,
    aliases: ["ToolsTreePackageManagerTrees"],
    option: { long: "tools-tree-sandbox-tree", argument: "PATH", aliases: ["tools-tree-package-manager-tree"] },
  }),
  row("ToolsTreePackages", texts("packages"), "Further packages of the tools tree", {
    supported: true,
    option: { long: "tools-tree-package", argument: "PACKAGE" },
  }),
  row("ToolsTreePackageDirectories", paths(), "Folders with package files for the tools tree", {
    supported: true,
    option: { long: "tools-tree-package-directory", argument: "PATH" },
  }),
  row("ToolsTreeCertificates", boolean, "Use the tools tree's certificates", {
    supported: true,
    ...universal,
    default: true,
    option: { argument: "BOOL" },
  }),
  row("ExtraSearchPaths", paths({ exclude: ["/usr"] }), "Folders to look for programs in first", {
    ...universal,
    supported: true,
    option: { long: "extra-search-path", argument: "PATH" },
  }),
  row(
    "Incremental",
    choice(["yes", "no", "strict"], { yes: "yes", no: "no" }),
    "Keep the installed packages for the next build: yes, no or strict",
    { ...universal, supported: true, default: "no", option: { short: "i", argument: "FEATURE", optional: true } },
  ),
  row(
    "CacheOnly",
    choice(["always", "auto", "metadata", "never"], {
      yes: "always",
      no: "auto",
      aliases: { none: "auto" },
    }),
    "Use packages and metadata from the cache alone",
    { ...universal, supported: true, default: "auto", option: { long: "cache-only", argument: "FEATURE" } },
  ),
  row("SandboxTrees", trees({ required: true }), "Trees to copy over the sandbox that package managers run in", {
    ...universal,
    supported: true,
    files: ["mkosi.sandbox", "mkosi.sandbox.tar", "mkosi.pkgmngr", "mkosi.pkgmngr.tar"],
    aliases: ["PackageManagerTrees"],
    option: { long: "sandbox-tree", argument: "PATH", aliases: ["package-manager-tree"] },
  }),
  row("WorkspaceDirectory", path({ required: false }), "Folder for what is thrown away after the build", {
    ...universal,
    supported: true,
    option: { argument: "DIRECTORY", aliases: ["workspace-dir"] },
  }),
  row("CacheDirectory", path({ required: false }), "Folder for what the next build can use again", {
    ...universal,
    supported: true,
    files: ["mkosi.cache"],
    option: { argument: "DIRECTORY", aliases: ["cache-dir"] },
  }),
  row("CacheKey", text, "Text that tells the caches of images apart", { option: { argument: "KEY" } }),
  row("PackageCacheDirectory", path({ required: false }), "Folder for downloaded packages", {
    ...universal,
    supported: true,
    files: ["mkosi.pkgcache"],
    option: { argument: "DIRECTORY", aliases: ["package-cache-dir"] },
  }),
  row("BuildDirectory", path({ required: false }), "Folder that the build scripts keep their objects in", {
    ...universal,
    supported: true,
    files: ["mkosi.builddir"],
    option: { argument: "DIRECTORY", aliases: ["build-dir"] },
  }),
  row("BuildKey", text, "Text that tells build folders apart", { option: { argument: "KEY" } }),
  row("UseSubvolumes", feature, "Make btrfs subvolumes instead of folders", {
    ...universal,
    supported: true,
    option: { argument: "FEATURE", optional: true },
  }),
  row("RepartOffline", boolean, "Make disks without loop devices; imgtool always does", {
    ...universal,
    supported: true,
    default: true,
  }),
  row(
    "History",
    boolean,
    "Remember the settings of the last build, for shell, boot, vm, burn and publish without --force",
    {
      supported: true,
      option: { argument: "BOOL" },
    },
  ),
  row(
    "BuildSources",
    trees({ required: true, directory: true, absolute: false }),
    "Folders that the scripts see: SOURCE[:TARGET]",
    {
      ...universal,
      supported: true,
      default: ({ directory }) => [{ Source: directory, Target: null }],
      match: (text, value) =>
        Array.isArray(value) && value.some((tree) => targetOf(tree) === normalizePath(text.replace(/^\/+/, ""))),
      option: { argument: "PATH" },
    },
  ),
  row(
    "BuildSourcesEphemeral",
    choice(["yes", "no", "buildcache"], { yes: "yes", no: "no" }),
    "Throw away what scripts write to the build sources",
    { ...universal, supported: true, default: "no", option: { argument: "FEATURE", optional: true } },
  ),
  row("UseGitFiles", boolean, "Hide what git ignores in the build sources from the scripts", {
    ...universal,
    supported: true,
    default: true,
    ...switchOption,
  }),
  row(
    "Environment",
    pairs((name, environment) => environment[name] ?? ""),
    "Variables for the scripts: NAME=VALUE, or NAME to pass one on",
    {
      supported: true,
      match: (text, value) => {
        if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
        const variables = value as Readonly<Record<string, unknown>>;
        const equal = text.indexOf("=");
        if (equal < 0) return Object.hasOwn(variables, text);
        return (
          Object.hasOwn(variables, text.slice(0, equal)) && variables[text.slice(0, equal)] === text.slice(equal + 1)
        );
      },
      option: { short: "E", argument: "NAME[=VALUE]" },
    },
  ),
  row("EnvironmentFiles", paths(), "Files with NAME=VALUE lines for the scripts", {
    supported: true,
    files: ["mkosi.env"],
    option: { long: "env-file", argument: "PATH" },
  }),
  row("WithTests", boolean, "Let build scripts run the project's tests", {
    ...universal,
    supported: true,
    default: true,
    option: { short: "T", long: "without-tests", argument: "BOOL", optional: true, constant: "no" },
  }),
  row("WithNetwork", boolean, "Let the scripts use the network", { ...universal, supported: true, ...switchOption }),
  row("ProxyUrl", text, "Address of a proxy for everything that is downloaded", {
    ...universal,
    default: ({ environment }) =>
      proxyVariables.map((name) => environment[name]).find((value) => value !== undefined) ?? null,
    supported: true,
    option: { argument: "URL" },
  }),
  row("ProxyExclude", texts("host names"), "Hosts that are reached without the proxy", {
    ...universal,
    supported: true,
    option: { argument: "HOST" },
  }),
  row("ProxyPeerCertificate", path(), "Certificates that the proxy is verified with", {
    ...universal,
    files: ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"],
    option: { argument: "PATH" },
  }),
  row("ProxyClientCertificate", path({ secret: true }), "Certificate that is shown to the proxy", {
    ...universal,
    option: { argument: "PATH" },
  }),
  row("ProxyClientKey", path({ secret: true }), "Key of the certificate that is shown to the proxy", {
    ...universal,
    default: ({ value }) => value("ProxyClientCertificate"),
    option: { argument: "PATH" },
  }),
  row("MakeScriptsExecutable", boolean, "Make script files executable where they are not", {
    option: { argument: "BOOL", optional: true },
  }),
];

function targetOf(tree: unknown): unknown {
  return typeof tree === "object" && tree !== null && "Target" in tree ? tree.Target : undefined;
}
