#!/bin/sh
# Builds openjpeg.wasm, byte for byte as it lies here, from OpenJPEG 2.5.4 (a release's unpacked source) with Zig 0.17.1, which
# carries clang, lld and wasi-libc:
#
#   build.sh OPENJPEG_FOLDER [OUTPUT]        ZIG="zig" names the compiler
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$1" && pwd)/src/lib/openjp2
output=${2:-$here/openjpeg.wasm}
zig=${ZIG:-zig}
sources="bio cio dwt event function_list ht_dec image invert j2k jp2 mct mqc openjpeg opj_malloc pi sparse_array t1 t2 tcd tgt thread"

[ "$($zig version)" = 0.17.1 ] || { echo "Zig 0.17.1 is needed" >&2; exit 1; }
sum=$(cd "$source" && LC_ALL=C cat $(ls *.c *.h | LC_ALL=C sort) | sha256sum | cut -d' ' -f1)
[ "$sum" = f841b51515141ecf3e06c4248187ebd67c70424ef4296cb60383dac7c8e1e504 ] || { echo "this is not OpenJPEG 2.5.4" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/src/lib"
cp -r "$source" "$work/src/lib/openjp2"
(cd "$work" && patch -s -p1) < "$here/openjpeg.patch"
cp "$here/codec.c" "$here/block_decoder.h" "$here/no_files.h" "$work/src/lib/openjp2"
cd "$work/src/lib/openjp2"
cat > opj_config.h << 'END'
#define OPJ_VERSION_MAJOR 2
#define OPJ_VERSION_MINOR 5
#define OPJ_VERSION_BUILD 4
END
cat > opj_config_private.h << 'END'
#define OPJ_PACKAGE_VERSION "2.5.4"
#define OPJ_HAVE_POSIX_MEMALIGN
#define _POSIX_C_SOURCE 200112L
END
$zig cc -target wasm32-wasi -mexec-model=reactor -mcpu=generic+simd128+bulk_memory+nontrapping_fptoint+sign_ext \
  -O3 -flto -DNDEBUG -DOPJ_STATIC -fvisibility=hidden -fno-sanitize=all -ffile-prefix-map="$work"=. -w \
  -include no_files.h -I. codec.c $(for name in $sources; do echo "$name.c"; done) -o openjpeg.wasm \
  -Wl,--gc-sections,--strip-all,-z,stack-size=1048576,--max-memory=2147483648
cp openjpeg.wasm "$output"
sha256sum "$output"
