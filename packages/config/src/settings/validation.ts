/**
 * [Validation]: what proves that an image is the one that was built.
 * @module
 */
import { boolean, choice, feature, featureOr, keySource, text } from "../kinds.ts";
import { keyOrName, path } from "../path-kinds.ts";
import { rowsOf } from "../setting.ts";
import type { SettingDefinition } from "../setting.ts";

const row = rowsOf("Validation");
const fromFile = { Source: "", Type: "file" };

/**
 * Key, certificate, and where each comes from, for one purpose.
 * @param formerly what older versions put before .key and .crt; the names of today win
 */
function keys(prefix: string, purpose: string, formerly: readonly string[] = []): SettingDefinition[] {
  return [
    row(`${prefix}Key`, keyOrName({ secret: true }), `Private key for ${purpose}`, {
      supported: true,
      scope: "universal",
      files: [...formerly, "mkosi"].map((name) => `${name}.key`),
      option: { argument: "KEY" },
    }),
    row(`${prefix}KeySource`, keySource(["file", "engine", "provider"]), `Where ${prefix}Key= comes from`, {
      supported: true,
      scope: "universal",
      default: fromFile,
      option: { argument: "SOURCE" },
    }),
    row(`${prefix}Certificate`, keyOrName({ secret: false }), `Certificate for ${purpose}`, {
      supported: true,
      scope: "universal",
      files: [...formerly, "mkosi"].map((name) => `${name}.crt`),
      option: { argument: "PATH" },
    }),
    row(`${prefix}CertificateSource`, keySource(["file", "provider"]), `Where ${prefix}Certificate= comes from`, {
      supported: true,
      scope: "universal",
      default: fromFile,
      option: { argument: "SOURCE" },
    }),
  ];
}

export const validationSettings: readonly SettingDefinition[] = [
  row("SecureBoot", boolean, "Sign what the firmware loads", {
    supported: true,
    option: { argument: "BOOL", optional: true },
  }),
  row("SecureBootAutoEnroll", boolean, "Let the boot loader enroll the keys in firmware in setup mode", {
    supported: true,
    default: true,
    option: { argument: "BOOL" },
  }),
  ...keys("SecureBoot", "Secure Boot", ["mkosi.secure-boot", "mkosi.secureboot"]),
  row("SecureBootSignTool", choice(["auto", "sbsign", "systemd-sbsign"]), "Program that signs for Secure Boot", {
    default: "auto",
  }),
  row("Verity", featureOr("hash", "signed", "defer"), "Make dm-verity partitions: no, hash, signed, or auto (no)", {
    supported: true,
    // The first mkosi's has no argument.
    option: { argument: "FEATURE", optional: true },
  }),
  ...keys("Verity", "verity signatures"),
  row("SignExpectedPcr", feature, "Sign the TPM measurements of unified kernel images; auto: where there is a key", {
    supported: true,
    option: { argument: "FEATURE" },
  }),
  ...keys("SignExpectedPcr", "signatures of TPM measurements"),
  row("Passphrase", path({ required: false, secret: true }), "File with the passphrase of encrypted partitions", {
    supported: true,
    files: ["mkosi.passphrase"],
    option: { argument: "PATH" },
  }),
  row("Checksum", boolean, "Write OUTPUT.SHA256SUMS, and SHA256SUMS of all outputs in their folder", {
    supported: true,
    aliases: ["CheckSum"],
    option: { argument: "BOOL", optional: true },
  }),
  row("Sign", boolean, "Sign both with OpenPGP: .SHA256SUMS.gpg and SHA256SUMS.gpg", {
    supported: true,
    option: { argument: "BOOL", optional: true },
  }),
  row("Key", text, "OpenPGP key that signs checksums", { supported: true }),
  row("OpenPGPTool", text, "OpenPGP program", {
    default: "gpg",
    option: { long: "openpgp-tool", argument: "PROGRAM" },
  }),
];
