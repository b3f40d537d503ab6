// SPDX-License-Identifier: MIT
// What all worker processes share: loaded once, before the first of them is forked.
#include <cadre/cadre.hpp>

#include <cstddef>
#include <iostream>
#include <numeric>
#include <utility>
#include <vector>

// [preload]
/// Loaded once for all workers, which read it where it lies. Empty in this process.
std::vector<double> model;

void load_model(std::size_t size) {
  model.resize(size);
  std::iota(model.begin(), model.end(), 1.0);
}

double predict(std::size_t at) { return model.at(at); }

int main() {
  cadre::process_pool_options options{.max_workers = 2};
  options.preload = cadre::bind(&load_model, std::size_t{1'000'000});
  cadre::process_pool_executor pool{std::move(options)};
  const double last = pool.submit(&predict, std::size_t{999'999}).get();
  // [/preload]

  std::cout << last << '\n';
  return last == 1'000'000.0 && model.empty() ? 0 : 1;
}
