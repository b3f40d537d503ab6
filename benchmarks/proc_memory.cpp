// SPDX-License-Identifier: MIT
// How much memory has an idle worker process that it shares with nobody?
#include <cadre/process_pool_executor.hpp>

#include <sstream>

#include "processes.hpp"

namespace {

int same(int n) { return n; }

double private_dirty_bytes(int pid) {
  std::ifstream rollup{"/proc/" + std::to_string(pid) + "/smaps_rollup"};
  double kib = 0;
  for (std::string line; std::getline(rollup, line);) {
    std::istringstream words{line};
    std::string name;
    if (words >> name && name == "Private_Dirty:") words >> kib;
  }
  return kib * 1024;
}

void measure_cadre(const bench::report& report) {
  cadre::process_pool_executor pool{1};
  for (int i = 0; i < 1000; ++i) pool.submit(&same, i).get();
  report("bytes_per_worker", private_dirty_bytes(pool.worker_pids().front()));
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("proc_memory", argc, argv, {{"cadre", measure_cadre}});
}
