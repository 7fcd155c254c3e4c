/**
 * SPDX's names of single licences, from those that Debian, Fedora and Arch Linux give them. Only where a name
 * means one text: `GPL` without a version, `BSD` or `Unicode` are several, and stay names of their own.
 * @module
 */
import { spdxExceptions, spdxLicenses } from "./spdx-names.ts";

/** Names that SPDX has otherwise, in small letters. */
const otherNames: Readonly<Record<string, string>> = {
  "apache-2": "Apache-2.0",
  "apache-2-llvm-exceptions": "Apache-2.0 WITH LLVM-exception",
  artistic: "Artistic-1.0-Perl",
  "artistic 2.0": "Artistic-2.0",
  "artistic-2": "Artistic-2.0",
  "asl 2.0": "Apache-2.0",
  "boost-1.0": "BSL-1.0",
  "bsd (2 clause)": "BSD-2-Clause",
  "bsd (3 clause)": "BSD-3-Clause",
  bzip2: "bzip2-1.0.6",
  cc0: "CC0-1.0",
  expat: "MIT",
  "mplv1.1": "MPL-1.1",
  "mplv2.0": "MPL-2.0",
  "openldap-2.8": "OLDAP-2.8",
  psf: "PSF-2.0",
  "psf-2": "PSF-2.0",
};

/** Exceptions by the words before "exception"; where GPL-3+ alone tells which text is meant, under that. */
const exceptions: Readonly<Record<string, string>> = {
  "bison-2.2": "Bison-exception-2.2",
  classpath: "Classpath-exception-2.0",
  font: "Font-exception-2.0",
  "gcc-runtime-3.1": "GCC-exception-3.1",
  libtool: "Libtool-exception",
  "linux-syscall-note": "Linux-syscall-note",
  llvm: "LLVM-exception",
  texinfo: "Texinfo-exception",
};

/** SPDX's name of a licence, with its exception if it has one; undefined where SPDX has none. */
export function spdxName(name: string): string | undefined {
  const words = name.trim().replaceAll(/\s+/g, " ");
  const exact = plainName(words);
  if (exact !== undefined) return exact;
  const parts = /^(\S.*?)[ -]with[ -](\S.*)$/i.exec(words);
  if (parts === null) return undefined;
  const license = plainName(parts[1] ?? "");
  const exception = exceptionName(parts[2] ?? "");
  return license === undefined || exception === undefined ? undefined : `${license} WITH ${exception}`;
}

function plainName(name: string): string | undefined {
  const small = name.toLowerCase();
  const known = otherNames[small] ?? gnuName(name) ?? spdxLicenses.get(small);
  if (known !== undefined) return known;
  if (/^LicenseRef-[A-Za-z0-9.-]+$/.test(name)) return name;
  // SPDX has "or any later version" as a sign for all but GNU's licences.
  const base = small.endsWith("+") ? spdxLicenses.get(small.slice(0, -1)) : undefined;
  return base === undefined ? undefined : `${base}+`;
}

function exceptionName(name: string): string | undefined {
  const small = name.toLowerCase();
  return spdxExceptions.get(small) ?? exceptions[small.replace(/[ -]exceptions?$/, "")];
}

/** `GPL-2+`, `GPLv2+`, `LGPL-2.1`, `GFDL-NIV-1.3+` and the like. */
function gnuName(name: string): string | undefined {
  const parts = /^(AGPL|LGPL|GPL|GFDL)(-NIV)?-?v?(\d+)(?:\.(\d+))?(\+|-or-later|-only)?(-NIV|-no-invariants)?$/i.exec(
    name,
  );
  if (parts === null) return undefined;
  const [, family = "", before, major = "", minor = "0", later, after] = parts;
  const variant = before === undefined && after === undefined ? "" : "-no-invariants";
  const version = `${family}-${major}.${minor}${variant}`;
  const until = later === "+" || later?.toLowerCase() === "-or-later" ? "or-later" : "only";
  return spdxLicenses.get(`${version}-${until}`.toLowerCase());
}
