// Who is connected, in production.

import { people, strangers } from "../people";

/** More than this would be no overview. */
const SHOWN_MAX = 200;

export function PeopleView() {
  const all = people.value;
  const more = all.length - SHOWN_MAX;
  return (
    <section class="people" aria-label="People">
      <header class="side-head">
        <h2>People</h2>
        <span class="faint">
          {all.length} connected{strangers.value > 0 && `, ${strangers.value} not logged in`}
        </span>
      </header>
      <table>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Role</th>
            <th scope="col" class="number">
              Sockets
            </th>
          </tr>
        </thead>
        <tbody>
          {all.slice(0, SHOWN_MAX).map(({ id, name, role, sockets }) => (
            <tr key={id}>
              <td title={id}>{name}</td>
              <td>{role}</td>
              <td class="number">{sockets}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {all.length === 0 && <p class="faint">No one is logged in.</p>}
      {more > 0 && <p class="faint">and {more} more</p>}
    </section>
  );
}
