/**
 * WithDocs=no: an image without documentation. dpkg leaves it out of what it unpacks; what mmdebstrap
 * unpacks before there is a dpkg is removed before any package is configured, so that none registers a
 * manual page as an alternative. Licences stay, as Debian's policy asks.
 * @module
 */

const folders: readonly string[] = ["man", "groff", "info", "lintian", "linda"];

/** Where dpkg reads `withoutDocs` in a tree. */
export const docsConfiguration = "etc/dpkg/dpkg.cfg.d/imgtool-docs";

/** Lines of dpkg.cfg(5). */
export const withoutDocs: string = [
  "path-exclude=/usr/share/doc/*",
  "path-include=/usr/share/doc/*/copyright",
  ...folders.map((name) => `path-exclude=/usr/share/${name}/*`),
  "",
].join("\n");

/** The same for apt.conf(5). */
export const aptWithoutDocs: readonly string[] = withoutDocs
  .split("\n")
  .filter((line) => line !== "")
  .map((line) => `DPkg::Options:: "--${line}";`);

/**
 * A shell script that removes documentation from the tree that is its argument. find follows no links:
 * a folder that is a link stays as it is.
 */
export const removeDocsScript: string = [
  "set -e",
  'cd "$1"',
  ...folders.map((name) => `[ ! -d usr/share/${name} ] || find usr/share/${name} -mindepth 1 -delete`),
  "[ -d usr/share/doc ] || exit 0",
  "find usr/share/doc -mindepth 2 ! -type d ! -path 'usr/share/doc/*/copyright' -delete",
  "find usr/share/doc -mindepth 1 -type d -empty -delete",
  "",
].join("\n");
