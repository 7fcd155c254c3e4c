import * as fc from "fast-check";
import { expect, test } from "vitest";
import { decodeFatName, foldFatName, makeFatNames, slotsOf } from "./names.ts";

const aliases = (...texts: string[]): string[] => makeFatNames(texts).map(({ alias }) => alias);

test("what is upper case and short enough needs no long name", () => {
  expect(makeFatNames(["EFI", "BOOTX64.EFI", "A.B"])).toEqual([
    { long: undefined, alias: "EFI        " },
    { long: undefined, alias: "BOOTX64 EFI" },
    { long: undefined, alias: "A       B  " },
  ]);
});

test("everything else has a long name and an alias by Microsoft's rules", () => {
  expect(aliases("bootx64.efi", "loader.conf", "The quick brown.fox")).toEqual([
    "BOOTX64 EFI",
    "LOADER~1CON",
    "THEQUI~1FOX",
  ]);
  expect(aliases(".profile", "a.b.c", "x+y=z.txt", "é", "archive.tar.gz", "no ext")).toEqual([
    "PROFIL~1   ",
    "AB~1    C  ",
    "X_Y_Z~1 TXT",
    "_~1        ",
    "ARCHIV~1GZ ",
    "NOEXT~1    ",
  ]);
});

test("aliases avoid each other and real names, whatever the order", () => {
  const texts = ["long file 1.txt", "long file 2.txt", "LONGFI~1.TXT", "longfi~2.txt"];
  expect(aliases(...texts)).toEqual(["LONGFI~3TXT", "LONGFI~4TXT", "LONGFI~1TXT", "LONGFI~2TXT"]);
  expect(aliases(...texts.toReversed())).toEqual(aliases(...texts).toReversed());
  const many = aliases(...Array.from({ length: 1200 }, (_, index) => `vmlinuz-${index}.efi`));
  expect(new Set(many).size).toBe(1200);
  expect(many).toContain("VMLI~1200EFI".slice(0, 8) + "EFI");
});

test("any names get distinct, valid aliases and as many slots as they need", () => {
  const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 30 }).filter((text) => !/[/\0]/.test(text));
  fc.assert(
    fc.property(fc.uniqueArray(name, { maxLength: 40, selector: foldFatName }), (texts) => {
      const names = makeFatNames(texts);
      expect(new Set(names.map(({ alias }) => alias)).size).toBe(texts.length);
      for (const one of names) {
        expect(one.alias).toMatch(/^[A-Z0-9$%'\-_@~`!(){}^#&]+ *[A-Z0-9$%'\-_@~`!(){}^#&]* *$/);
        expect(one.alias).toHaveLength(11);
        expect(slotsOf(one)).toBe(1 + Math.ceil((one.long ?? "").length / 13));
      }
    }),
  );
});

test.each([
  [Buffer.from([0x61, 0xff]), "not UTF-8"],
  [Buffer.from("a:b"), 'the character ":"'],
  [Buffer.from("a\nb"), String.raw`the character "\n"`],
  [Buffer.from("back\\slash"), "the character"],
  [Buffer.from("end."), "ends in a dot"],
  [Buffer.from("end "), "ends in a dot or a blank"],
  [Buffer.from("x".repeat(256)), "256 UTF-16 units"],
])("the name %s is refused", (name, message) => {
  expect(() => decodeFatName(name)).toThrow(message);
});
