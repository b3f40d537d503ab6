// SPDX-License-Identifier: MIT
// Pictures that strangers sent, decoded where a hostile one reaches nothing.
#include <cadre/cadre.hpp>

#include <png.h>
#include <signal.h>
#include <sys/socket.h>

#include <cstdint>
#include <iostream>
#include <vector>

using namespace std::chrono_literals;
using bytes = std::vector<std::uint8_t>;

struct picture {
  std::uint32_t width, height;
  bytes pixels;  // four for each
};

picture decode(const bytes& file) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  const bool begun = png_image_begin_read_from_memory(&image, file.data(), file.size()) != 0;
  image.format = PNG_FORMAT_RGBA;
  picture to{image.width, image.height, bytes(begun ? PNG_IMAGE_SIZE(image) : 0)};
  if (begun && png_image_finish_read(&image, nullptr, to.pixels.data(), 0, nullptr) != 0) return to;
  throw std::runtime_error{image.message};
}

// What a flaw of the decoder would let a stranger do.
int attack() { return ::socket(AF_INET, SOCK_STREAM, 0); }

int main() {
  bytes good(1000);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = image.height = 1;
  png_alloc_size_t size = good.size();
  png_image_write_to_memory(&image, good.data(), &size, 0, "\x7f", 0, nullptr);

  // [recipe]
  cadre::process_pool_executor pool{
      {.max_calls_per_worker = 1,  // no call meets another one's data
       .max_message = 64 << 20,    // of one picture
       .worker = {
           .open_files = 32, .sandbox = cadre::sandbox::strict, .private_memory = 256 << 20}}};
  for (const auto& gap : pool.submit(&cadre::missing_protections).get()) std::clog << gap << '\n';

  const cadre::submit_options limits{.name = "decode", .timeout = 5s};
  const picture made = pool.submit(limits, &decode, good).get();
  // It comes from a process that a stranger may rule: check what it says before you use it.
  const bool sound = made.pixels.size() == std::size_t{4} * made.width * made.height;
  // [/recipe]
  try {
    pool.submit(limits, &attack).get();
  } catch (const cadre::worker_died& e) {
    std::cout << e.what() << '\n';  // ... the sandbox does not allow the system call socket (41)
    return sound && made.width == 1 && e.signal() == SIGSYS ? 0 : 1;
  }
  return 1;
}
