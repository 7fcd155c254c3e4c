/**
 * [Distribution]: what is installed, and from where.
 * @module
 */
import { boolean, choice, choiceParser, text, texts } from "../kinds.ts";
import { architectures, distributionNames, findDistribution, uefiArchitectures } from "../names.ts";
import { contains, equals } from "../setting.ts";
import type { SettingDefinition } from "../setting.ts";

const parseArchitecture = choiceParser([...architectures, "uefi"]);

export const distributionSettings: readonly SettingDefinition[] = [
  {
    name: "Distribution",
    section: "Distribution",
    kind: choice(distributionNames),
    help: "Distribution to install; default: that of this machine if it is Debian or Ubuntu, else debian",
    supported: true,
    scope: "universal",
    // A machine with another distribution still builds the one image that needs no further settings.
    default: ({ host }) => (host.distribution === "ubuntu" ? "ubuntu" : "debian"),
    match: equals(choiceParser(distributionNames)),
    specifier: "d",
    option: { short: "d", argument: "NAME" },
  },
  {
    name: "Release",
    section: "Distribution",
    kind: text,
    help: "Release to install; default: this machine's, or the newest stable one of another distribution",
    supported: true,
    scope: "universal",
    default: ({ host, value }) => {
      const distribution = value("Distribution");
      if (distribution === host.distribution && host.release !== undefined) return host.release;
      return typeof distribution === "string" ? (findDistribution(distribution)?.defaultRelease ?? "") : "";
    },
    match: equals((text) => text),
    specifier: "r",
    option: { short: "r", argument: "NAME" },
  },
  {
    name: "Architecture",
    section: "Distribution",
    kind: choice(architectures),
    help: "Architecture of the image; default: that of this machine",
    supported: true,
    scope: "universal",
    default: ({ host }) => host.architecture,
    match: (text, value) =>
      parseArchitecture(text) === "uefi" ? uefiArchitectures.some((name) => name === value) : text === value,
    specifier: "a",
    option: { argument: "NAME" },
  },
  {
    name: "Mirror",
    section: "Distribution",
    kind: text,
    help: "Address of the package mirror",
    supported: true,
    scope: "universal",
    default: ({ host }) => host.mirror ?? null,
    option: { short: "m", argument: "URL" },
  },
  {
    name: "Snapshot",
    section: "Distribution",
    kind: text,
    help: "Moment of the distribution's snapshot archive to install from",
    supported: true,
    scope: "universal",
    option: { argument: "SNAPSHOT" },
  },
  {
    name: "LocalMirror",
    section: "Distribution",
    kind: text,
    help: "Address of a mirror to use for the build only, in place of all repositories",
    supported: true,
    scope: "universal",
    option: { argument: "URL" },
  },
  {
    name: "RepositoryKeyCheck",
    section: "Distribution",
    kind: boolean,
    help: "Verify the signatures of packages and repositories",
    supported: true,
    scope: "universal",
    default: true,
    option: { argument: "BOOL", optional: true },
  },
  {
    name: "RepositoryKeyFetch",
    section: "Distribution",
    kind: boolean,
    help: "Fetch the distribution's keys over the network where this machine has none",
    supported: true,
    scope: "universal",
    option: { argument: "BOOL", optional: true },
  },
  {
    name: "Repositories",
    section: "Distribution",
    kind: texts("repository names"),
    help: "Further repositories or components: contrib, non-free, universe",
    supported: true,
    scope: "universal",
    match: contains,
    option: { argument: "NAME" },
  },
];
