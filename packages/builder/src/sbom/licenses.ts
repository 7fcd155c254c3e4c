/**
 * What the licence of a package is, as far as it says so: Debian's copyright files in their machine-readable
 * form (DEP-5), and the licence fields of RPM and Arch Linux packages, as SPDX licence expressions.
 * @module
 */
import type { InstalledPackage } from "@imgtool/distro";
import { readTreeFile } from "../tree-file.ts";

/** Names of DEP-5 that SPDX has otherwise. */
const debianNames: Readonly<Record<string, string>> = {
  "apache-2": "Apache-2.0",
  "apache-2.0": "Apache-2.0",
  "artistic-2.0": "Artistic-2.0",
  artistic: "Artistic-1.0-Perl",
  "bsd-2-clause": "BSD-2-Clause",
  "bsd-3-clause": "BSD-3-Clause",
  "bsd-4-clause": "BSD-4-Clause",
  bzip2: "bzip2-1.0.6",
  "cc0-1.0": "CC0-1.0",
  expat: "MIT",
  isc: "ISC",
  mit: "MIT",
  "mpl-1.1": "MPL-1.1",
  "mpl-2.0": "MPL-2.0",
  openssl: "OpenSSL",
  psf: "PSF-2.0",
  zlib: "Zlib",
};

/** The licences of a package, without repetition and in order; none where it does not say. */
export async function licensesOf(tree: string, entry: InstalledPackage): Promise<string[]> {
  const declared = entry.license === undefined ? await debianLicenses(tree, entry.name) : [entry.license];
  return [...new Set(declared.flatMap(licenseNames))].sort();
}

async function debianLicenses(tree: string, name: string): Promise<string[]> {
  const text = await readTreeFile(tree, `usr/share/doc/${name}/copyright`);
  if (text === undefined || !/^Format(?:-Specification)?:/im.test(text)) return [];
  return [...text.matchAll(/^License:[ \t]*(\S[^\n]*)$/gim)].map((match) => match[1] ?? "");
}

/** The single licences of an expression like `GPL-2+ or Expat`, under SPDX's names. */
function licenseNames(expression: string): string[] {
  return expression
    .split(/\s+(?:and|or|with)\s+|[,()/]+/i)
    .map((name) => name.trim())
    .filter((name) => name !== "" && !/exception/i.test(name))
    .map(spdxName);
}

/** SPDX's name, or one of the document's own. */
export function spdxName(name: string): string {
  const known = debianNames[name.toLowerCase()];
  if (known !== undefined) return known;
  const gnu = /^(A?GPL|LGPL|GFDL)(?:-?v?(\d+)(?:\.(\d+))?)(\+|-or-later)?(?:-only)?(?:-NIV\S*)?$/i.exec(name);
  if (gnu !== null) {
    const [, family = "", major = "", minor = "0", later] = gnu;
    return `${family.toUpperCase()}-${major}.${minor}-${later === undefined ? "only" : "or-later"}`;
  }
  if (
    /^(?:MIT|ISC|Zlib|Apache-2\.0|BSD-[234]-Clause|(?:A|L)?GPL-\d\.\d-(?:only|or-later)|MPL-[12]\.\d|CC0-1\.0)$/.test(
      name,
    )
  )
    return name;
  return `LicenseRef-${name.replaceAll(/[^A-Za-z0-9.-]+/g, "-").replaceAll(/^-+|-+$/g, "") || "unknown"}`;
}
