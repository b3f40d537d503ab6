// SPDX-License-Identifier: MIT
// What each worker needs: made by the initializer, and destroyed with its worker, after the finalizer.
#include <cadre/cadre.hpp>

#include <atomic>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

std::atomic<int> open_connections = 0;
std::atomic<int> opened = 0;
std::atomic<int> commits = 0;

struct connection {
  connection() { ++open_connections, ++opened; }
  ~connection() { --open_connections; }
  std::string query(int id) const { return "row " + std::to_string(id); }
  void commit() { ++commits; }
};

// [workers]
using cadre::this_worker::context;

std::string look_up(int id) { return context<connection>()->query(id); }

int main() {
  std::vector<cadre::future<std::string>> rows;
  {
    cadre::thread_pool_executor pool{
        {.max_workers = 2,
         .thread_name_prefix = "database",
         .initializer = [] { cadre::this_worker::emplace_context<connection>(); },
         .finalizer = [] { context<connection>()->commit(); }}};
    for (int id = 0; id < 100; ++id) rows.push_back(pool.submit(&look_up, id));
  }
  // [/workers]
  std::cout << rows.back().get() << " over " << opened << " connections\n";

  bool broken = false;
  // [broken]
  cadre::thread_pool_executor pool{
      {.max_workers = 1, .initializer = [] { throw std::runtime_error{"no route to host"}; }}};
  try {
    pool.submit(&look_up, 1).get();
  } catch (const cadre::broken_executor& e) {
    std::cout << e.what() << '\n';
    broken = true;
  }
  // [/broken]
  const bool all_ended = open_connections == 0 && commits == opened;
  return rows.back().get() == "row 99" && all_ended && broken ? 0 : 1;
}
