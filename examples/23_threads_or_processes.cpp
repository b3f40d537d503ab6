// SPDX-License-Identifier: MIT
// The same program on threads or in worker processes: one string differs.
//
//     ./23_threads_or_processes processes:4
#include <cadre/cadre.hpp>

#include <unistd.h>

#include <iostream>
#include <ranges>
#include <set>

// [same]
struct result {
  long square;
  int pid;
};

result work(int n) { return {long{n} * n, ::getpid()}; }

long run(cadre::executor& where, std::set<int>& pids) {
  long sum = 0;
  for (const result& r : where.map(&work, std::views::iota(0, 1000))) {
    sum += r.square;
    pids.insert(r.pid);
  }
  return sum;
}
// [/same]

int main(int argc, char** argv) {
  std::set<int> here, there;
  // [choose]
  const long on_threads = run(*cadre::make_executor("threads:2"), here);
  const long in_processes = run(*cadre::make_executor(argc > 1 ? argv[1] : "processes:2"), there);
  // [/choose]
  std::cout << on_threads << " in " << here.size() << " process, " << in_processes << " in "
            << there.size() << '\n';
  return on_threads == in_processes && here == std::set{::getpid()} ? 0 : 1;
}
