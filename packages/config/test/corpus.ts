// Projects whose resolution by the real mkosi is kept in golden.json (see make-golden.ts).

export interface CorpusCase {
  /** Files by path below the project; a path that ends in a slash is an empty folder. */
  readonly files: Readonly<Record<string, string>>;
  /** Command-line options: setting, option, value. */
  readonly options?: readonly (readonly [setting: string, option: string, value: string])[];
  /** Paths that must be executable. */
  readonly executable?: readonly string[];
}

const conf = (...lines: readonly string[]): Record<string, string> => ({ "mkosi.conf": `${lines.join("\n")}\n` });

export const corpus: Readonly<Record<string, CorpusCase>> = {
  empty: { files: conf("") },

  "ini: continuation, comments, repeated keys": {
    files: conf(
      "[Content]",
      "Packages=a,b # comment",
      "",
      "    c, d",
      "# comment at the margin",
      "    e",
      "Packages=f",
      "Packages=",
      "    g",
      "    h",
      "[Output]",
      "ImageId = spaced  ",
    ),
  },
  "ini: the file is indented as a whole": { files: conf("  [Content]", "  Packages=a", "    b", "  WithDocs=no") },
  "ini: white space does not split packages": { files: conf("[Content]", "Packages=a b,c") },
  "ini: outside of a section": { files: conf("Packages=a") },
  "ini: no equals sign": { files: conf("[Content]", "Packages") },
  "ini: open section": { files: conf("[Content", "Packages=a") },
  "ini: unknown section": { files: conf("[X-Mine]", "Anything=a", "[Content]", "Packages=a") },
  "ini: equals signs in values": { files: conf("[Content]", "KernelCommandLine=a=b c=d=e") },
  "ini: carriage returns": { files: { "mkosi.conf": "[Content]\r\nPackages=a\r\n  b\r\n" } },

  "values: booleans": {
    files: conf(
      "[Content]",
      "WithDocs=off",
      "WithRecommends=Y",
      "[Validation]",
      "Checksum=1",
      "[Build]",
      "WithNetwork=T",
    ),
  },
  "values: not a boolean": { files: conf("[Content]", "WithDocs=perhaps") },
  "values: features": {
    files: conf(
      "[Content]",
      "Bootable=no",
      "CleanPackageMetadata=yes",
      "SELinuxRelabel=auto",
      "[Validation]",
      "Verity=yes",
    ),
  },
  "values: sizes": { files: conf("[Runtime]", "RAM=1.5G", "RuntimeSize=4097") },
  "values: no size": { files: conf("[Runtime]", "RAM=lots") },
  "values: compression": { files: conf("[Output]", "CompressOutput=yes", "CompressLevel=19") },
  "values: compression by another name": { files: conf("[Output]", "Format=tar", "CompressOutput=gzip") },
  "values: compression of archives": { files: conf("[Output]", "Format=cpio") },
  "values: no compression of an archive": { files: conf("[Output]", "Format=tar", "CompressOutput=no") },
  "values: unknown compression": { files: conf("[Output]", "CompressOutput=rar") },
  "values: seed": { files: conf("[Output]", "Seed=0E9A6FE0-68F6-408C-BBEB-136054D20445") },
  "values: seed without dashes": { files: conf("[Output]", "Seed=0e9a6fe068f6408cbbeb136054d20445") },
  "values: no seed": { files: conf("[Output]", "Seed=xyz") },
  "values: sector size": { files: conf("[Output]", "SectorSize=4096") },
  "values: odd sector size": { files: conf("[Output]", "SectorSize=1000") },
  "values: mode": { files: conf("[Output]", "OutputMode=600") },
  "values: time": { files: conf("[Content]", "SourceDateEpoch=1700000000") },
  "values: negative time": { files: conf("[Content]", "SourceDateEpoch=-1") },
  "values: password": { files: conf("[Content]", "RootPassword=secret") },
  "values: hashed password": { files: conf("[Content]", "RootPassword=hashed:$6$abc") },
  "values: output is a name": { files: conf("[Output]", "Output=a/b") },
  "values: environment": {
    files: conf("[Build]", "Environment=A=1 B=\"two words\" C='x'", "Environment=D=4", "            A=changed"),
  },
  "values: environment that matches": {
    files: {
      ...conf("[Build]", "Environment=A=1"),
      "mkosi.conf.d/1.conf": "[Match]\nEnvironment=A=1\n[Content]\nPackages=equal\n",
      "mkosi.conf.d/2.conf": "[Match]\nEnvironment=A\n[Content]\nPackages=there\n",
      "mkosi.conf.d/3.conf": "[Match]\nEnvironment=A=2\n[Content]\nPackages=other\n",
    },
  },
  "values: open quote": { files: conf("[Build]", 'Environment=A="1') },
  "values: key sources": { files: conf("[Validation]", "SecureBootKeySource=engine:pkcs11", "VerityKeySource=file") },
  "values: unknown key source": { files: conf("[Validation]", "SecureBootKeySource=magic:a") },
  "values: minimum version keeps the newest": {
    files: conf("[Config]", "MinimumVersion=20", "MinimumVersion=14", "MinimumVersion="),
  },
  "values: split artifacts": { files: conf("[Output]", "SplitArtifacts=uki,partitions") },
  "values: split artifacts as a switch": { files: conf("[Output]", "SplitArtifacts=yes") },
  "values: split artifacts emptied": { files: conf("[Output]", "SplitArtifacts=") },
  "values: vsock": { files: conf("[Runtime]", "VSockCID=hash", "CPUs=4", "VSock=no") },
  "values: bootloader": {
    files: conf("[Content]", "Bootloader=grub", "BiosBootloader=grub", "ShimBootloader=unsigned"),
  },
  "values: manifest": { files: conf("[Output]", "ManifestFormat=json,changelog") },
  "values: unknown manifest": { files: conf("[Output]", "ManifestFormat=xml") },
  "values: incremental": { files: { ...conf("[Build]", "Incremental=strict", "CacheOnly=yes"), "mkosi.cache/": "" } },
  "values: sign asks for checksums": { files: conf("[Validation]", "Checksum=yes", "Sign=no", "Key=me") },
  "values: sign alone": { files: conf("[Validation]", "Sign=yes") },

  "distribution: another one": { files: conf("[Distribution]", "Distribution=fedora") },
  "distribution: ubuntu": { files: conf("[Distribution]", "Distribution=ubuntu", "Repositories=universe,multiverse") },
  "distribution: unknown": { files: conf("[Distribution]", "Distribution=debain") },
  "distribution: architecture": {
    files: conf("[Distribution]", "Architecture=arm64", "Mirror=http://mirror.example/debian"),
  },
  "distribution: unknown architecture": { files: conf("[Distribution]", "Architecture=amd64") },

  "output: id and version": { files: conf("[Output]", "ImageId=demo", "ImageVersion=1.2") },
  "output: version alone": { files: conf("[Output]", "ImageVersion=7") },
  "output: emptied id": { files: conf("[Output]", "ImageId=demo", "ImageId=") },
  "output: directory": { files: conf("[Output]", "OutputDirectory=../elsewhere/./x", "Output=name") },

  "usual places: trees and scripts": {
    files: {
      ...conf("[Content]", "ExtraTrees=more:/opt/more", "PostInstallationScripts=late.sh"),
      "more/a": "",
      "late.sh": "#!/bin/sh\n",
      "mkosi.extra/etc/x": "",
      "mkosi.skeleton/etc/y": "",
      "mkosi.postinst": "#!/bin/sh\n",
      "mkosi.postinst.chroot": "#!/bin/sh\n",
      "mkosi.postinst.d/20": "#!/bin/sh\n",
      "mkosi.postinst.d/10.chroot": "#!/bin/sh\n",
      "mkosi.finalize": "#!/bin/sh\n",
      "mkosi.finalize.chroot": "#!/bin/sh\n",
      "mkosi.finalize.d/a": "#!/bin/sh\n",
      "mkosi.prepare": "#!/bin/sh\n",
      "mkosi.build.chroot": "#!/bin/sh\n",
      "mkosi.build.d/z": "#!/bin/sh\n",
      "mkosi.sync": "#!/bin/sh\n",
      "mkosi.postoutput": "#!/bin/sh\n",
      "mkosi.clean.d/c": "#!/bin/sh\n",
      "mkosi.configure": "#!/bin/sh\n",
    },
  },
  "usual places: folders": {
    files: {
      ...conf(""),
      "mkosi.output/": "",
      "mkosi.cache/": "",
      "mkosi.pkgcache/": "",
      "mkosi.packages/": "",
      "mkosi.repart/10-root.conf": "[Partition]\nType=root\n",
      "mkosi.sandbox/": "",
      "mkosi.sysupdate/": "",
    },
  },
  "usual places: values": {
    files: {
      ...conf(""),
      "mkosi.version": "2.5\n",
      "mkosi.seed": "0e9a6fe0-68f6-408c-bbeb-136054d20445\n",
      "mkosi.machine-id": "0e9a6fe068f6408cbbeb136054d20445\n",
      "mkosi.env": "X=1\nY=two words\n",
      "mkosi.nspawn": "",
    },
  },
  "usual places: a version that is printed": {
    files: { ...conf(""), "mkosi.version": "#!/bin/sh\necho 3.14\n" },
    executable: ["mkosi.version"],
  },
  "usual places: a script that is not executable": {
    files: { ...conf(""), "mkosi.version": "#!/bin/sh\necho 3.14\n" },
  },
  "usual places: lists of the file come after": {
    files: { ...conf("[Content]", "ExtraTrees=", "ExtraTrees=tree"), "mkosi.extra/": "", "tree/": "" },
  },
  "usual places: keys": { files: { ...conf(""), "mkosi.crt": "x" } },

  "order: conf.d": {
    files: {
      ...conf("[Content]", "Packages=main", "Hostname=main"),
      "mkosi.conf.d/20.conf": "[Content]\nPackages=b\nHostname=twenty\n",
      "mkosi.conf.d/10.conf": "[Content]\nPackages=a\nHostname=ten\n",
      "mkosi.conf.d/30/mkosi.conf": "[Content]\nPackages=c\nExtraTrees=below\n",
      "mkosi.conf.d/30/below/x": "",
      "mkosi.conf.d/30/mkosi.extra/": "",
      "mkosi.conf.d/30/mkosi.conf.d/x.conf": "[Content]\nPackages=d\n",
      "mkosi.conf.d/README": "not a configuration",
    },
  },
  "order: paths of conf.d files": {
    files: { ...conf(""), "mkosi.conf.d/a.conf": "[Content]\nExtraTrees=tree\n", "tree/": "" },
  },
  "order: local": {
    files: {
      ...conf("[Content]", "Packages=main", "Hostname=main"),
      "mkosi.local.conf": "[Content]\nPackages=mine\nHostname=mine\n",
    },
  },
  "order: local folder": {
    files: {
      ...conf("[Content]", "Packages=main"),
      "mkosi.local/mkosi.conf": "[Content]\nPackages=mine\nExtraTrees=t\n",
      "mkosi.local/t/": "",
      "mkosi.local.conf": "[Content]\nPackages=never\n",
    },
  },
  "order: profiles": {
    files: {
      ...conf("[Config]", "Profiles=two,one", "[Content]", "Packages=main"),
      "mkosi.profiles/one.conf": "[Content]\nPackages=one\n",
      "mkosi.profiles/two/mkosi.conf": "[Content]\nPackages=two\nExtraTrees=t\n",
      "mkosi.profiles/two/t/": "",
      "mkosi.profiles/three.conf": "[Content]\nPackages=three\n",
      "mkosi.conf.d/x.conf": "[Match]\nProfiles=one\n[Content]\nPackages=matched\n",
    },
  },
  "order: profile by option": {
    files: { ...conf(""), "mkosi.profiles/one.conf": "[Content]\nPackages=one\n" },
    options: [["Profiles", "--profile", "one"]],
  },
  "order: include": {
    files: {
      ...conf(
        "[Content]",
        "Packages=before",
        "[Include]",
        "Include=inc",
        "Include=inc",
        "Include=f.conf",
        "[Content]",
        "Packages=after",
      ),
      "inc/mkosi.conf": "[Content]\nPackages=inc\n[Include]\nInclude=../f.conf\n",
      "inc/mkosi.extra/": "",
      "inc/mkosi.conf.d/a.conf": "[Content]\nPackages=inc-d\n",
      "f.conf": "[Content]\nPackages=f\nExtraTrees=tree\n",
      "tree/": "",
    },
  },
  "order: include of each other": {
    files: {
      ...conf("[Include]", "Include=a.conf"),
      "a.conf": "[Content]\nPackages=a\n[Include]\nInclude=b.conf\n",
      "b.conf": "[Content]\nPackages=b\n[Include]\nInclude=a.conf\n",
    },
  },
  "order: include by option": {
    files: { ...conf("[Content]", "Packages=main"), "f.conf": "[Content]\nPackages=f\n" },
    options: [["Include", "--include", "f.conf"]],
  },
  "order: missing include": { files: conf("[Include]", "Include=nowhere") },

  "merge: empty text": {
    files: {
      ...conf("[Content]", "Packages=a", "Hostname=h", "WithDocs=no"),
      "mkosi.conf.d/a.conf": "[Content]\nPackages=\nHostname=\nWithDocs=\n",
    },
  },
  "merge: empty then filled": { files: conf("[Content]", "Packages=a", "Packages=", "Packages=b") },
  "merge: options": {
    files: conf("[Content]", "Packages=a", "Hostname=h", "[Build]", "Environment=A=1 B=2"),
    options: [
      ["Packages", "--package", "x,y"],
      ["Hostname", "--hostname", "o"],
      ["Environment", "--environment", "B=3"],
      ["Packages", "--package", "z"],
    ],
  },
  "merge: options reset": {
    files: conf("[Content]", "Packages=a", "Hostname=h"),
    options: [
      ["Packages", "--package", "lost"],
      ["Packages", "--package", ""],
      ["Packages", "--package", "z"],
      ["Hostname", "--hostname", ""],
    ],
  },
  "merge: options empty a list": { files: conf("[Content]", "Packages=a"), options: [["Packages", "--package", ""]] },
  "merge: options empty a default": { files: conf(""), options: [["SplitArtifacts", "--split-artifacts", ""]] },

  "match: guards": {
    files: {
      ...conf("[Output]", "ImageId=demo-x", "ImageVersion=1.10", "Format=tar"),
      ...Object.fromEntries(
        [
          "Distribution=debian",
          "Distribution=!debian",
          "Distribution=|fedora\nDistribution=|debian",
          "Distribution=|fedora\nDistribution=|arch",
          "Distribution=|!fedora\nRelease=sid",
          "Release=trixie",
          "Architecture=x86-64",
          "Architecture=!x86-64",
          "Format=tar",
          "Format=disk",
          "ImageId=demo-*",
          "ImageId=Demo-*",
          "ImageId=demo-[a-z]",
          "ImageVersion=1.10",
          "ImageVersion=>1.9",
          "ImageVersion=<1.9",
          "ImageVersion=>=1.10",
          "ImageVersion=!=1.10",
          "ImageVersion===1.10",
          "Bootable=auto",
          "Bootable=yes",
          "Repositories=",
          "Repositories=main",
          "Profiles=",
          "PathExists=mkosi.conf",
          "PathExists=nowhere",
          "PathExists=!nowhere",
          "HostArchitecture=x86-64",
          "ToolsTreeDistribution=debian",
          "BuildSources=/x",
          "",
          "[TriggerMatch]\nDistribution=fedora\n[TriggerMatch]\nDistribution=debian",
          "[TriggerMatch]\nDistribution=fedora\n[TriggerMatch]\nRelease=sid",
          "[TriggerMatch]\nDistribution=|debian\nDistribution=|fedora\nRelease=trixie",
          "Distribution=debian\n[Match]\nRelease=trixie",
          "Distribution=debian\n[Match]\nRelease=sid",
          "ImageId=%i",
          "Release=%%",
        ].map((condition, index) => [
          `mkosi.conf.d/${String(index).padStart(2, "0")}.conf`,
          `[Match]\n${condition}\n[Content]\nPackages=case-${index}\n`,
        ]),
      ),
    },
  },
  "match: unset settings": {
    files: {
      ...conf(""),
      "mkosi.conf.d/1.conf": "[Match]\nImageId=\n[Content]\nPackages=empty\n",
      "mkosi.conf.d/2.conf": "[Match]\nImageVersion=!1\n[Content]\nPackages=not\n",
      "mkosi.conf.d/3.conf": "[Match]\nDistribution=debian\n[Content]\nPackages=default\n",
    },
  },
  "match: a default is fixed once it was matched": {
    files: {
      ...conf(""),
      "mkosi.conf.d/1.conf": "[Match]\nRelease=trixie\n[Distribution]\nDistribution=ubuntu\n",
    },
  },
  "match: whole folder": {
    files: {
      ...conf("[Content]", "Packages=main"),
      "mkosi.conf.d/f/mkosi.conf": "[Match]\nDistribution=fedora\n",
      "mkosi.conf.d/f/mkosi.conf.d/x.conf": "[Content]\nPackages=skipped\n",
      "mkosi.conf.d/f/mkosi.extra/": "",
    },
  },
  "match: unknown key": { files: { ...conf(""), "mkosi.conf.d/x.conf": "[Match]\nPackages=a\n" } },
  "match: unreadable value": { files: { ...conf(""), "mkosi.conf.d/x.conf": "[Match]\nDistribution=debain\n" } },
  "match: decided before the unreadable value": {
    files: { ...conf(""), "mkosi.conf.d/x.conf": "[Match]\nRelease=sid\nDistribution=debain\n" },
  },

  specifiers: {
    files: {
      ...conf(
        "[Output]",
        "ImageId=demo",
        "ImageVersion=1",
        "OutputDirectory=out",
        "[Content]",
        "Packages=%d,%r,%a,%t,%o,%i,%v,%F,100%%,%",
        "KernelCommandLine=c=%C d=%D p=%P o=%O",
        "Hostname=x%Iy",
      ),
      "mkosi.conf.d/sub/mkosi.conf": "[Content]\nKernelCommandLine=c=%C d=%D p=%P\n",
      "mkosi.conf.d/f.conf": "[Content]\nKernelCommandLine=c=%C d=%D p=%P\n",
    },
  },
  "specifiers: unset and unknown": { files: conf("[Content]", "Packages=a%vb,c%Zd") },

  "trees: targets": {
    files: {
      ...conf("[Content]", "ExtraTrees=t,t:/a/b,t:/", "SkeletonTrees=t:/x", "[Build]", "BuildSources=t:src,t"),
      "t/": "",
    },
  },
  "trees: relative target": { files: { ...conf("[Content]", "ExtraTrees=t:a"), "t/": "" } },
  "trees: missing skeleton": { files: conf("[Content]", "SkeletonTrees=nowhere") },
  "trees: missing extra": { files: conf("[Content]", "ExtraTrees=nowhere") },
  "paths: variables and home": { files: conf("[Content]", "ExtraTrees=~/x,$HOME/y,${HOME}/z,$NOTHING/w") },

  "names: old ones": {
    files: {
      ...conf(
        "[Content]",
        "PostInstallationScript=p",
        "[Host]",
        "QemuMem=4G",
        "[Config]",
        "Profile=x",
        "[Build]",
        "PackageManagerTrees=t",
      ),
      p: "#!/bin/sh\n",
      "t/": "",
    },
  },
  "names: wrong section": { files: conf("[Output]", "Packages=a") },
  "names: at sign": { files: conf("[Content]", "@Packages=a") },

  "sub-images: scopes": {
    files: {
      ...conf(
        "[Distribution]",
        "Distribution=ubuntu",
        "[Output]",
        "ImageId=main",
        "ImageVersion=3",
        "[Content]",
        "Packages=main",
        "[Config]",
        "PassEnvironment=A C",
        "[Build]",
        "Environment=A=1 B=2",
        "WithNetwork=yes",
      ),
      "mkosi.output/": "",
      "mkosi.images/one/mkosi.conf": "[Content]\nPackages=one\n[Output]\nFormat=directory\n[Build]\nEnvironment=D=4\n",
      "mkosi.images/one/mkosi.extra/": "",
      "mkosi.images/one/mkosi.output/": "",
      "mkosi.images/two.conf": "[Output]\nImageId=two\n[Content]\nExtraTrees=tree\nKernelCommandLine=%I %o\n",
      "mkosi.images/three/mkosi.conf": "[Match]\nDistribution=debian\n",
      "mkosi.images/README": "",
      "tree/": "",
    },
  },
  "sub-images: dependencies": {
    files: {
      ...conf("[Config]", "Dependencies=c"),
      "mkosi.images/a.conf": "[Content]\nPackages=a\n",
      "mkosi.images/b.conf": "[Content]\nPackages=b\n",
      "mkosi.images/c.conf": "[Config]\nDependencies=a\n",
    },
  },
  "sub-images: dependencies in a circle": {
    files: {
      ...conf(""),
      "mkosi.images/a.conf": "[Config]\nDependencies=b\n",
      "mkosi.images/b.conf": "[Config]\nDependencies=a\n",
    },
  },
  "sub-images: unknown dependency": { files: { ...conf("[Config]", "Dependencies=x"), "mkosi.images/a.conf": "" } },
  "sub-images: universal setting": {
    files: { ...conf(""), "mkosi.images/a.conf": "[Distribution]\nRelease=sid\n" },
  },

  // mkosi's own configurations, in every distribution that they know
  ...Object.fromEntries(
    ["mkosi-vm", "mkosi-initrd", "mkosi-tools"].flatMap((name) =>
      [
        ["debian", "bookworm"],
        ["debian", "trixie"],
        ["debian", "bullseye"],
        ["ubuntu", "jammy"],
        ["ubuntu", "noble"],
        ["kali", "kali-rolling"],
        ["fedora", "42"],
        ["centos", "9"],
        ["centos", "10"],
        ["rocky", "9"],
        ["azure", "3.0"],
        ["opensuse", "tumbleweed"],
        ["arch", "rolling"],
      ].map(([distribution, release]) => [
        `builtin: ${name} in ${distribution} ${release}`,
        {
          files: conf(
            "[Distribution]",
            `Distribution=${distribution}`,
            `Release=${release}`,
            "[Include]",
            `Include=${name}`,
            "[Content]",
            "Packages=own",
          ),
        },
      ]),
    ),
  ),
  "builtin: what is set before and after": {
    files: conf(
      "[Content]",
      "Packages=before",
      "[Include]",
      "Include=mkosi-vm",
      "Include=mkosi-vm",
      "[Content]",
      "Packages=",
    ),
  },
  "builtin: below a condition": {
    files: { ...conf(""), "mkosi.conf.d/a.conf": "[Match]\nFormat=disk\n[Include]\nInclude=mkosi-vm\n" },
  },
  "builtin: an initrd of one's own": {
    files: {
      ...conf("[Config]", "Dependencies=initrd", "[Content]", "Bootable=yes", "Initrds=%O/initrd"),
      "mkosi.images/initrd/mkosi.conf": "[Include]\nInclude=mkosi-initrd\n[Content]\nPackages=more\n",
    },
  },
};
