// SPDX-License-Identifier: MIT
// Coroutines: two calls at once, awaited without a thread that waits.
#include <cadre/coro.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <iostream>
#include <string>

namespace {

int count_words(const std::string& text) {
  int words = 0;
  bool inside = false;
  for (const char c : text) {
    if (!inside && c != ' ') ++words;
    inside = c != ' ';
  }
  return words;
}

// [task]
cadre::task<int> words(cadre::thread_pool_executor& pool, std::string text) {
  auto count = pool.submit(count_words, text);  // a name for the future: see the box on g++ 12
  co_return co_await count;                     // the worker does something else meanwhile
}

cadre::task<int> words_of_both(cadre::thread_pool_executor& pool) {
  auto left = cadre::spawn(pool, words(pool, "to be or not"));  // runs from now on
  const int right = co_await words(pool, "to be");              // runs here
  co_return co_await left + right;
}
// [/task]

}  // namespace

int main() {
  // [run]
  cadre::thread_pool_executor pool;
  const int n = cadre::sync_wait(words_of_both(pool));          // on this thread
  const int m = cadre::spawn(pool, words_of_both(pool)).get();  // on a worker
  // [/run]
  std::cout << n << '\n';
  return n == 6 && m == 6 ? 0 : 1;
}
