/**
 * What the licence of a package is, as far as it says so: Debian's copyright files in their machine-readable
 * form, and the licence fields of RPM and Arch Linux packages, as SPDX licence expressions.
 * @module
 */
import { createHash } from "node:crypto";
import type { InstalledPackage } from "@imgtool/distro";
import { readTreeFile } from "../tree-file.ts";
import { parseDebianCopyright, shortName, type ToldLicense } from "./debian-copyright.ts";
import { allLicenses, formatLicense, readLicense, type LicenseExpression } from "./license-expression.ts";

/** Above so many words it is the beginning of a text, not a name: `Permission is hereby granted, free of …`. */
const maxNameWords = 12;

/** The licences of one document that SPDX has no name for. */
export class LicenseReferences {
  readonly #texts = new Map<string, string>();

  /** Their names, in order, each with its text where a package has it. */
  get all(): readonly (readonly [name: string, text: string])[] {
    return [...this.#texts].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** The text of a name; empty where no package has it. */
  text(name: string): string {
    return this.#texts.get(name) ?? "";
  }

  /** The name of a licence: two packages may call different texts alike, and then get different names. */
  name(words: string, text: string): string {
    const plain = words
      .replace(/^LicenseRef-/, "")
      .replaceAll(/(\d)\+/g, "$1-or-later")
      .replaceAll(/[^A-Za-z0-9.-]+/g, "-")
      .replaceAll(/^-+|-+$/g, "");
    const base = `LicenseRef-${plain === "" ? "unnamed" : plain}`;
    const known = this.#texts.get(base);
    const name = known === undefined || known === text ? base : `${base}-${shortDigest(text)}`;
    this.#texts.set(name, text);
    return name;
  }
}

/** The SPDX expression of a package's licences; undefined where it does not say. */
export async function licenseOf(
  tree: string,
  entry: InstalledPackage,
  references: LicenseReferences,
): Promise<string | undefined> {
  if (entry.license === undefined) {
    const content = await readTreeFile(tree, `usr/share/doc/${entry.name}/copyright`);
    return content === undefined ? undefined : debianLicense(content, references);
  }
  if (entry.license.trim() === "") return undefined;
  return formatLicense(
    readLicense(entry.license, (words) =>
      // Arch Linux: "custom" is whatever the package brings along.
      references.name(words.toLowerCase() === "custom" ? `custom-${entry.name}` : words, ""),
    ),
  );
}

/** The SPDX expression of one of Debian's copyright files; undefined where it has another form or says nothing. */
export function debianLicense(content: string, references: LicenseReferences): string | undefined {
  const copyright = parseDebianCopyright(content);
  if (copyright === undefined) return undefined;
  const expressions = copyright.licenses
    .filter(({ expression, text }) => expression !== "" || text !== "")
    .map((told) =>
      isName(told)
        ? readLicense(told.expression, (words) =>
            references.name(words, copyright.texts.get(shortName(words)) ?? told.text),
          )
        : unnamed(told, references),
    );
  return expressions.length === 0 ? undefined : formatLicense(allLicenses(expressions));
}

function isName({ expression }: ToldLicense): boolean {
  if (expression === "") return false;
  const longest = expression.split(/,|\s(?:and|or)\s/i).map((name) => name.trim().split(/\s+/).length);
  return Math.max(...longest) <= maxNameWords && !/^(?:permission|redistribution|this|by|the)\s/i.test(expression);
}

function unnamed({ expression, text }: ToldLicense, references: LicenseReferences): LicenseExpression {
  const whole = `${expression}\n${text}`.trim();
  return { kind: "license", text: references.name(`text-${shortDigest(whole)}`, whole) };
}

function shortDigest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}
