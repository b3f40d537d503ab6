#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# matrix.sh WORK: builds a small program in every way in which programs are linked, and checks that its
# workers start, with all static objects made, and that its main() runs once.
set -euo pipefail
work=$1
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
mkdir -p "$work"
cd "$work"
cache=$(command -v ccache || true)
failed=()

# objects COMPILER NAME FLAGS...: the library, compiled into NAME/.
objects() {
  local compiler=$1 name=$2
  shift 2
  mkdir -p "$name"
  printf '%s\n' "$root"/src/*/*.cpp |
    CACHE=$cache xargs -P 2 -I{} sh -c "\$CACHE $compiler -std=c++20 -O1 -g $* \
      -I$root/src -I$root/include -c {} -o $name/\$(basename {} .cpp).o"
  rm -f "$name/libcadre.a"
  "${AR:-ar}" rcs "$name/libcadre.a" "$name"/*.o
}

# build COMPILER OUTPUT ARGUMENTS...
build() {
  local compiler=$1 output=$2
  shift 2
  "$compiler" -std=c++20 -O1 -I"$root/src" -I"$root/include" -I"$here" -o "$output" "$@" -pthread ||
    { failed+=("$output does not link"); return 1; }
}

# expect NAME EXIT_CODE WORDS COMMAND...: also that main() ran once, and the words were printed.
expect() {
  local name=$1 code=$2 words=$3 output status=0
  shift 3
  output=$(timeout 60 "$@" 2>&1 </dev/null) || status=$?
  if [ "$status" = "$code" ] && [ "$(grep -c 'main runs' <<<"$output")" = 1 ] &&
    grep -q "$words" <<<"$output"; then
    echo "ok      $name"
  else
    echo "FAILED  $name: exit code $status"
    echo "$output"
    failed+=("$name")
  fi
}

objects g++ gcc -fPIC
main=$here/main.cpp
a=gcc/libcadre.a

build g++ pie "$main" $a && expect "static library" 0 . ./pie
build g++ nopie -no-pie "$main" $a && expect "-no-pie" 0 . ./nopie
build g++ stripped -s -Wl,--gc-sections,-z,now "$main" $a && expect "stripped, --gc-sections" 0 . ./stripped
build g++ gold -fuse-ld=gold -Wl,--icf=all "$main" $a && expect "gold, --icf=all" 0 . ./gold
build g++ noid -Wl,--build-id=none "$main" $a && expect "no build-id" 0 . ./noid
build g++ static -static -DCADRE_INIT "$main" $a && expect "-static, cadre::init" 0 . ./static
build g++ static_pie -static-pie -DCADRE_INIT "$main" $a && expect "-static-pie, cadre::init" 0 . ./static_pie
build g++ wrap -static -Wl,--wrap=main "$main" $a && expect "-static, --wrap=main" 0 . ./wrap
build g++ bare -static "$main" $a && expect "-static, nothing done" 3 "cadre::init(argc, argv)" ./bare
build g++ no_pool "$here/no_pool.cpp" $a && expect "no pool" 0 . ./no_pool
build g++ no_pool_static -static "$here/no_pool.cpp" $a && expect "no pool, -static" 0 . ./no_pool_static
if nm -C no_pool | grep -q run_zygote; then
  echo "FAILED  no pool: the zygote is linked in"
  failed+=("no pool")
fi
expect "boot variable without its socket" 0 . env CADRE_BOOT=z3h ./pie
expect "through a symbolic link, moved" 0 . bash -c 'ln -sf pie link; ./link'
expect "unlinked while it runs" 0 . bash -c 'cp pie gone; exec 9<gone; rm gone; exec /proc/self/fd/9'
expect "loaded by ld.so by hand" 3 "before it was ready" /lib64/ld-linux-x86-64.so.2 ./pie
expect "few descriptors" 0 . bash -c 'ulimit -n 24; ./pie'
expect "no standard input" 0 . bash -c './pie <&-'

g++ -shared -o libcadre.so gcc/*.o
here_path=-Wl,-rpath,$PWD
build g++ shared "$main" -L. "$here_path" -lcadre && expect "shared library" 0 . ./shared
build g++ libuser.so -shared -fPIC -DAS_LIBRARY "$main" -L. "$here_path" -lcadre
build g++ through "$here/calls_run.cpp" -L. "$here_path" -Wl,--as-needed -luser &&
  expect "through another library" 0 . ./through
build g++ libplugin.so -shared -fPIC -DAS_LIBRARY "$main" $a
build g++ host "$here/host.cpp" && expect "loaded at run time" 0 . ./host ./libplugin.so
expect "loaded at run time, with the user's LD_PRELOAD" 0 . \
  env LD_PRELOAD="$PWD/libcadre.so" ./host ./libplugin.so
build g++ libmain.so -shared -fPIC "$main" -L. "$here_path" -lcadre
build g++ main_in_library -L. "$here_path" -Wl,--no-as-needed -lmain -lcadre &&
  expect "main() in a library" 0 . ./main_in_library

# Programs of others, as far as they are installed.
has() { command -v "$1" >/dev/null || { echo "skipped $2: no $1"; return 1; }; }
build g++ gtest "$here/gtest_run.cpp" -DAS_LIBRARY "$main" $a -lgtest_main -lgtest &&
  expect "main() of GoogleTest" 0 . ./gtest
has python3-config "a program that hosts Python" &&
  build g++ python $(python3-config --includes) "$here/python_host.cpp" -DAS_LIBRARY "$main" $a \
    $(python3-config --embed --ldflags) && expect "a program that hosts Python" 0 . ./python
has python3 "Python, by ctypes" && expect "Python, by ctypes" 0 . \
  python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL("./libplugin.so").run())'
has strace "under strace" && expect "under strace" 0 . strace -f -o strace.txt ./pie
has gdb "under gdb" && expect "under gdb" 0 . gdb -nx -batch -return-child-result -ex run ./pie

AR=gcc-ar objects g++ gcc_lto -fPIC -flto
build g++ lto -flto "$main" gcc_lto/libcadre.a && expect "g++ -flto" 0 . ./lto
if command -v clang++-16 >/dev/null && command -v llvm-ar-16 >/dev/null &&
  command -v ld.lld-16 >/dev/null; then
  objects clang++-16 clang -fPIC
  build clang++-16 clang_pie "$main" clang/libcadre.a && expect "clang" 0 . ./clang_pie
  AR=llvm-ar-16 objects clang++-16 clang_lto -fPIC -flto=thin
  build clang++-16 clang_lld -flto=thin -fuse-ld=lld-16 -Wl,--icf=all "$main" clang_lto/libcadre.a &&
    expect "clang, lld, -flto=thin, --icf=all" 0 . ./clang_lld
fi

[ ${#failed[@]} = 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
