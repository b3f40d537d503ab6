// SPDX-License-Identifier: MIT
// What each worker needs: made by the initializer, cleared away by the finalizer.
#include <cadre/cadre.hpp>

#include <atomic>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

std::atomic<int> open_connections = 0;
std::atomic<int> opened = 0;

struct connection {
  connection() { ++open_connections, ++opened; }
  ~connection() { --open_connections; }
  std::string query(int id) const { return "row " + std::to_string(id); }
};

// [workers]
thread_local std::unique_ptr<connection> database;

std::string look_up(int id) { return database->query(id); }

int main() {
  std::vector<cadre::future<std::string>> rows;
  {
    cadre::thread_pool_executor pool{
        {.max_workers = 2,
         .thread_name_prefix = "database",
         .initializer = [] { database = std::make_unique<connection>(); },
         .finalizer = [] { database.reset(); }}};
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
  return rows.back().get() == "row 99" && open_connections == 0 && broken ? 0 : 1;
}
