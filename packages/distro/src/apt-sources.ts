/**
 * apt's lists of archives, sources.list(5): the one-line form (`*.list`) and the deb822 form
 * (`*.sources`). Only binary archives (`deb`) are read.
 * @module
 */
import { FormatError } from "@imgtool/core";
import type { Repository } from "./distribution.ts";

/** Parses the one-line form. `file` stands in errors. */
export function parseSourcesList(text: string, file: string): Repository[] {
  const repositories: Repository[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.replace(/#.*$/, "").trim();
    if (line === "") continue;
    const match = /^(deb|deb-src)\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)(?:\s+(.*))?$/.exec(line);
    if (match === null) {
      throw new FormatError(`${file}:${index + 1}: expected "deb [options] uri suite components", found "${line}"`, {
        code: "sources-list-invalid",
        data: { file, line: index + 1, found: line },
      });
    }
    const [, type, options = "", uri = "", suite = "", components = ""] = match;
    if (type !== "deb") continue;
    const signedBy = /(?:^|\s)signed-by=(\S+)/i.exec(options)?.[1]?.split(",")[0];
    repositories.push(repository(uri, suite, words(components), signedBy));
  }
  return repositories;
}

/** Parses the deb822 form: stanzas of fields, each standing for every URI with every suite. */
export function parseDeb822Sources(text: string): Repository[] {
  const repositories: Repository[] = [];
  for (const fields of parseStanzas(text)) {
    if (!words(fields.get("types")).includes("deb")) continue;
    if (/^(no|false|off|0|without|disable)$/i.test(fields.get("enabled") ?? "yes")) continue;
    // A key written into the file itself (it begins with a PGP header) is not a path.
    const signedBy = words(fields.get("signed-by")).find((word) => word.startsWith("/"));
    for (const uri of words(fields.get("uris")))
      for (const suite of words(fields.get("suites")))
        repositories.push(repository(uri, suite, words(fields.get("components")), signedBy));
  }
  return repositories;
}

/** The stanzas of a deb822 text, field names in lower case, continued lines joined by newlines. */
export function parseStanzas(text: string): Map<string, string>[] {
  const stanzas: Map<string, string>[] = [];
  let fields = new Map<string, string>();
  let name = "";
  for (const line of text.split("\n")) {
    if (line.startsWith("#")) continue;
    if (line.trim() === "") {
      if (fields.size > 0) stanzas.push(fields);
      fields = new Map();
      name = "";
    } else if (/^\s/.test(line)) {
      if (name !== "") fields.set(name, `${fields.get(name) ?? ""}\n${line.trim()}`);
    } else {
      const colon = line.indexOf(":");
      if (colon < 1) continue;
      name = line.slice(0, colon).toLowerCase();
      fields.set(name, line.slice(colon + 1).trim());
    }
  }
  if (fields.size > 0) stanzas.push(fields);
  return stanzas;
}

/** The one-line form of a repository. `trusted` takes it without checking signatures. */
export function formatSourcesLine(entry: Repository, trusted: boolean): string {
  const signedBy = entry.signedBy === undefined ? [] : [`signed-by=${entry.signedBy}`];
  // trusted=yes alone still fails for a signature whose key is not there.
  const options =
    trusted || entry.trusted === true ? ["trusted=yes", "allow-insecure=yes", "check-valid-until=no"] : signedBy;
  return [
    "deb",
    ...(options.length === 0 ? [] : [`[${options.join(" ")}]`]),
    entry.uri,
    entry.suite,
    ...entry.components,
  ].join(" ");
}

/** The deb822 form, as it is left in an image that holds apt: one stanza per URI. */
export function formatDeb822Sources(repositories: readonly Repository[]): string {
  const stanzas = new Map<string, Repository[]>();
  for (const entry of repositories) {
    const key = JSON.stringify([entry.uri, entry.components, entry.signedBy]);
    stanzas.set(key, [...(stanzas.get(key) ?? []), entry]);
  }
  return [...stanzas.values()]
    .map((entries) => {
      const [first] = entries;
      return [
        "Types: deb",
        `URIs: ${first?.uri ?? ""}`,
        `Suites: ${entries.map((entry) => entry.suite).join(" ")}`,
        `Components: ${first?.components.join(" ") ?? ""}`,
        ...(first?.signedBy === undefined ? [] : [`Signed-By: ${first.signedBy}`]),
        "",
      ].join("\n");
    })
    .join("\n");
}

function words(text: string | undefined): string[] {
  return (text ?? "").split(/\s+/).filter((word) => word !== "");
}

function repository(uri: string, suite: string, components: string[], signedBy: string | undefined): Repository {
  return { uri: uri.replace(/\/+$/, ""), suite, components, ...(signedBy === undefined ? {} : { signedBy }) };
}
