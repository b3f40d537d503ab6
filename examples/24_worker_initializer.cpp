// SPDX-License-Identifier: MIT
// What each worker process needs: made by the initializer, before its first call.
#include <cadre/cadre.hpp>

#include <iostream>
#include <map>
#include <stdexcept>
#include <string>

// [workers]
/// Each worker has its own, as it has its own of everything. Empty in this process.
std::map<std::string, int> dictionary;

void load(int edition) { dictionary = {{"one", edition}, {"two", 2 * edition}}; }

int look_up(const std::string& word) { return dictionary.at(word); }

int main() {
  cadre::process_pool_executor pool{
      {.max_workers = 2,
       .initializer = cadre::bind(&load, 10),  // a function, or one with its arguments
       .max_calls_per_worker = 100,            // then a fresh process: leaks cannot grow
       .worker = {.environment = {{"TZ", "UTC"}}, .nice = 5}}};
  auto two = pool.submit(&look_up, std::string{"two"});
  // [/workers]

  bool kept_its_type = false;
  try {
    pool.submit(&look_up, std::string{"three"}).get();
  } catch (const std::out_of_range& e) {  // thrown in the worker by std::map
    std::cout << e.what() << '\n';
    kept_its_type = true;
  }
  return two.get() == 20 && dictionary.empty() && kept_its_type ? 0 : 1;
}
