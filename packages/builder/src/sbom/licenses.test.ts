/** Licences as packages tell them, judged by a parser of SPDX expressions that is not imgtool's. */
import { globSync, readFileSync } from "node:fs";
import parse from "spdx-expression-parse";
import { expect, test } from "vitest";
import { formatLicense, readLicense } from "./license-expression.ts";
import { debianLicense, LicenseReferences, licenseOf } from "./licenses.ts";
import { spdxExceptions, spdxLicenses } from "./spdx-names.ts";

const read = (told: string): string => {
  const references = new LicenseReferences();
  const text = formatLicense(readLicense(told, (words) => references.name(words, "")));
  parse(text);
  return text;
};

test.each([
  // Debian
  ["GPL-2", "GPL-2.0-only"],
  ["GPLv3+", "GPL-3.0-or-later"],
  ["LGPL-2.1+", "LGPL-2.1-or-later"],
  ["GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"],
  ["Expat", "MIT"],
  ["BSL-1.0", "BSL-1.0"],
  ["OFL-1.1", "OFL-1.1"],
  ["Unicode-3.0", "Unicode-3.0"],
  ["MPL-1.1+", "MPL-1.1+"],
  ["BSD (3 clause)", "BSD-3-Clause"],
  ["GPL-1+ or Artistic", "Artistic-1.0-Perl OR GPL-1.0-or-later"],
  ["GPL-1+ or Artistic, and Expat", "(Artistic-1.0-Perl OR GPL-1.0-or-later) AND MIT"],
  ["Expat and GPL-2+ or BSD-3-clause", "BSD-3-Clause OR GPL-2.0-or-later AND MIT"],
  ["MPL-1.1, GPL-2+ or LGPL-2.1+", "GPL-2.0-or-later OR LGPL-2.1-or-later OR MPL-1.1"],
  ["ISC, Zlib, and Expat", "ISC AND MIT AND Zlib"],
  ["LGPLv3+_or_GPLv2+", "GPL-2.0-or-later OR LGPL-3.0-or-later"],
  ["GPL2 or later", "GPL-2.0-or-later"],
  ["GPL-2 with Linux-syscall-note exception or MIT", "GPL-2.0-only WITH Linux-syscall-note OR MIT"],
  ["Apache-2.0 with LLVM exception", "Apache-2.0 WITH LLVM-exception"],
  ["GPL-2+ with Libtool exception", "GPL-2.0-or-later WITH Libtool-exception"],
  // Which of Autoconf's exceptions it is, the name does not say.
  ["GPL-2+ with Autoconf exception", "LicenseRef-GPL-2-or-later-with-Autoconf-exception"],
  ["ISC and/or LGPL-2.1+", "LicenseRef-ISC-and-or-LGPL-2.1-or-later"],
  ["GPL", "LicenseRef-GPL"],
  ["GPL-9", "LicenseRef-GPL-9"],
  ["public domain", "LicenseRef-public-domain"],
  // Fedora, before and with SPDX's names
  ["GPLv2+ and (MIT or ASL 2.0)", "(Apache-2.0 OR MIT) AND GPL-2.0-or-later"],
  ["GPL-2.0-or-later WITH GCC-exception-3.1", "GPL-2.0-or-later WITH GCC-exception-3.1"],
  ["LicenseRef-Fedora-Public-Domain AND MIT", "LicenseRef-Fedora-Public-Domain AND MIT"],
  ["(MIT OR Apache-2.0) AND (Unicode-3.0)", "(Apache-2.0 OR MIT) AND Unicode-3.0"],
  // Not to be read
  ["(MIT or ISC", "LicenseRef-MIT-or-ISC"],
  ["MIT and", "LicenseRef-MIT-and"],
  ["MIT)", "LicenseRef-MIT"],
])("%s is %s", (told, expected) => {
  expect(read(told)).toBe(expected);
});

test("every name of SPDX's that is kept here is one", () => {
  for (const name of spdxLicenses.values()) expect(parse(name)).toEqual({ license: name });
  for (const name of spdxExceptions.values())
    expect(parse(`MIT WITH ${name}`)).toEqual({ license: "MIT", exception: name });
});

test("a copyright file tells of files and not of the texts it has, and brings those along", () => {
  const references = new LicenseReferences();
  const one = debianLicense(
    `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2020 A
License: GPL-1+ or Artistic

Files: debian/*
License: permissive
 Take it.

Files: old/*
License:
 No name, a text only.

License: Artistic
 On Debian systems …

License: GPL-1+
 On Debian systems …
`,
    references,
  );
  const two = debianLicense("Format: x\n\nFiles: *\nLicense: permissive\n Take it, but not all.\n", references);
  expect(one).toMatch(/^\(Artistic-1\.0-Perl OR GPL-1\.0-or-later\) AND LicenseRef-permissive AND LicenseRef-text-/);
  // Another text of the same name.
  expect(two).toMatch(/^LicenseRef-permissive-[0-9a-f]{8}$/);
  expect(references.all.map(([, text]) => text)).toEqual([
    "Take it.",
    "Take it, but not all.",
    "No name, a text only.",
  ]);
  for (const text of [one, two]) parse(text ?? "");
});

test("a file that tells no licence, or has another form, says nothing", async () => {
  const references = new LicenseReferences();
  expect(debianLicense("This is Debian's package of …\n\nLicense: MIT\n", references)).toBeUndefined();
  expect(debianLicense("Format: x\n\nFiles: *\nCopyright: A\n", references)).toBeUndefined();
  const entry = { name: "x", version: "1", architecture: "any" };
  expect(await licenseOf("/nonexistent", entry, references)).toBeUndefined();
  expect(await licenseOf("/nonexistent", { ...entry, license: "custom" }, references)).toBe("LicenseRef-custom-x");
});

test("the copyright files of this machine make valid expressions", () => {
  const references = new LicenseReferences();
  for (const path of globSync("/usr/share/doc/*/copyright")) {
    const expression = debianLicense(readFileSync(path, "utf8"), references) ?? "MIT";
    expect(() => parse(expression), `${path}: ${expression}`).not.toThrow();
  }
  expect(new Set(references.all.map(([name]) => name)).size).toBe(references.all.length);
});
