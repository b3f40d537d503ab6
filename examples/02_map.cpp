// SPDX-License-Identifier: MIT
// map: one function over a range, or over several ranges taken together.
#include <cadre/cadre.hpp>

#include <iostream>
#include <ranges>
#include <string>
#include <vector>

int main() {
  cadre::thread_pool_executor pool;
  long sum = 0;
  // [map]
  // Everything is submitted here. The results come in the order of the inputs.
  for (long square : pool.map([](long x) { return x * x; }, std::views::iota(0L, 1000L))) {
    sum += square;
  }
  // [/map]

  const std::vector<int> few{1, 2, 3};
  int cubes = 0;
  const auto cubed = [](int x) { return x * x * x; };
  // [caller]
  for (int cube : pool.map({.caller_runs = true}, cubed, few)) cubes += cube;
  // [/caller]

  std::string line;
  // [zip]
  const std::vector<std::string> words{"one", "two", "three"};
  const std::vector<std::size_t> counts{1, 2, 3};
  auto repeat = [](const std::string& word, std::size_t count) {
    std::string all;
    while (count-- > 0) all += word;
    return all;
  };
  for (const std::string& text : pool.map(repeat, words, counts)) line += text + ' ';
  // [/zip]
  std::cout << sum << '\n' << line << '\n';

  long first_big = 0;
  // [buffer]
  // An endless input: at most 8 results are computed ahead of the loop.
  for (long cube : pool.map(
           {.buffer_size = 8}, [](long x) { return x * x * x; }, std::views::iota(1L))) {
    first_big = cube;
    if (cube > 1'000'000) break;  // the rest is cancelled
  }
  // [/buffer]
  const bool right = sum == 332833500 && cubes == 36 && line == "one twotwo threethreethree " &&
                     first_big == 1030301;
  return right ? 0 : 1;
}
