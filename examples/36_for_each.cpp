// SPDX-License-Identifier: MIT
// A loop that runs in parallel, for what it does and not for what it returns.
#include <cadre/cadre.hpp>

#include <iostream>
#include <vector>

struct particle {
  double place = 0;
  double speed = 1;
};

int main() {
  cadre::thread_pool_executor pool;
  std::vector<particle> particles(10'000);
  std::vector<double> squares(1'000);

  // [loops]
  pool.for_each(particles, [](particle& p) { p.place += p.speed * 0.5; });
  pool.for_each(squares.size(), [&](std::size_t i) { squares[i] = static_cast<double>(i * i); });
  // [/loops]

  std::cout << particles.back().place << ' ' << squares.back() << '\n';
  return particles.front().place == 0.5 && squares[31] == 961 ? 0 : 1;
}
