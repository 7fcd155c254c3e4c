/**
 * Package URLs, by which scanners know packages: pkg:deb/debian/bash@5.2.15-2?arch=amd64
 * (package-url specification, types deb, rpm and alpm).
 * @module
 */
import type { ImageConfig } from "@imgtool/config";
import type { InstalledPackage, PackageType } from "@imgtool/distro";

const types: Readonly<Record<PackageType, string>> = { deb: "deb", rpm: "rpm", pkg: "alpm" };

export function packageUrl(
  { distribution, release }: Pick<ImageConfig, "distribution" | "release">,
  type: PackageType,
  { name, version, architecture }: InstalledPackage,
): string {
  // An epoch is a qualifier of rpm, and part of the version elsewhere.
  const epoch = type === "rpm" ? /^(\d+):(.*)$/.exec(version) : null;
  const qualifiers: [string, string][] = [
    ["arch", architecture],
    ["distro", release === "" ? distribution : `${distribution}-${release}`],
    ...(epoch === null ? [] : ([["epoch", epoch[1] ?? "0"]] satisfies [string, string][])),
  ];
  const text = qualifiers.map(([key, value]) => `${key}=${encode(value)}`).join("&");
  return `pkg:${types[type]}/${distribution}/${encode(name)}@${encode(epoch?.[2] ?? version)}?${text}`;
}

function encode(text: string): string {
  return encodeURIComponent(text).replaceAll("%3A", ":");
}
